"""`python -m gongji_monitoring`: write what is generated of metrics, rules and dashboards into the tree."""

from gongji_monitoring.files import ROOT, generated


def main() -> None:
    """Write every file that is not as it should be."""
    for path, text in generated().items():
        file = ROOT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"written: {path}")


if __name__ == "__main__":
    main()
