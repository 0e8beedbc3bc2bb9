from pathlib import Path

import yaml

from k8s_check.topics import SERVICES

COMPONENT = Path(__file__).parents[2] / "components/cert-manager"


def test_each_service_has_one_certificate_with_its_one_principal() -> None:
    certificates = list(yaml.safe_load_all((COMPONENT / "certificates.yaml").read_text()))
    assert [each["spec"]["uris"] for each in certificates] == [[f"spiffe://gongji/service/{name}"] for name in SERVICES]
    for name, each in zip(SERVICES, certificates, strict=True):
        assert each["metadata"]["name"] == each["spec"]["secretName"] == f"{name}-tls"
        assert each["spec"]["dnsNames"] == [name, f"{name}.gongji.svc"]


def test_a_service_proves_itself_as_server_and_as_client() -> None:
    for each in yaml.safe_load_all((COMPONENT / "certificates.yaml").read_text()):
        assert {"server auth", "client auth"} <= set(each["spec"]["usages"])
