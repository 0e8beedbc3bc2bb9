from k8s_check.manifests import Built, group_of

TEXT = """apiVersion: v1
kind: Namespace
metadata:
  name: gongji
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata:
  name: binding
---
apiVersion: v1
data:
  at: 4:30
  text: |
    one
    ---
    two
kind: ConfigMap
metadata:
  name: a
"""


def test_a_group_is_left_out_and_the_rest_stays_word_for_word() -> None:
    left = Built.read(TEXT).without_groups({"postgresql.cnpg.io"})
    assert [each["kind"] for each in left.objects()] == ["Namespace", "ConfigMap"]
    assert "at: 4:30" in left.text()
    assert Built.read(TEXT).text() == TEXT


def test_objects_are_chosen_by_kind() -> None:
    assert [each["metadata"]["name"] for each in Built.read(TEXT).of_kind("Namespace").objects()] == ["gongji"]


def test_the_core_has_no_group() -> None:
    assert group_of({"apiVersion": "v1"}) == ""
    assert group_of({"apiVersion": "apps/v1"}) == "apps"


def test_an_object_that_states_no_namespace_is_told_and_the_namespace_itself_is_in_none() -> None:
    assert Built.read(TEXT).of_kind("Namespace").namespaces() == set()
    assert Built.read(TEXT).namespaces() == {""}
    assert Built.read("kind: Secret\nmetadata:\n  name: a\n  namespace: gongji\n").namespaces() == {"gongji"}
