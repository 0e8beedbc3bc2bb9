"""The pledge (承诺书): its texts ship as files here, `<version>.txt`; a text that was signed once is never changed."""

from importlib import resources

from binding.domain.pledges import Pledge, Pledges


def shipped(current: str) -> Pledges:
    """Every version that ships, with the one in force. Raises PledgeMissingError when that one does not ship."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    texts = {file.name.removesuffix(".txt"): file for file in files if file.name.endswith(".txt")}
    return Pledges(
        {version: Pledge.of(version, file.read_text(encoding="utf-8")) for version, file in texts.items()}, current
    )
