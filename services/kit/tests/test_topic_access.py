import pytest

from kit.dead_letters import dlq_of
from kit.topic_access import Access, access_of, service_of
from kit.topics import Catalogue, CatalogueError, catalogue

SERVICES = ("identity", "binding", "settlement", "notify")


def access() -> dict[str, Access]:
    return {each.service: each for each in access_of(catalogue(), SERVICES)}


def test_no_two_services_may_write_the_same_topic_but_for_dead_letters() -> None:
    writers: dict[str, list[str]] = {}
    for each in access().values():
        for topic in each.writes:
            writers.setdefault(topic, []).append(each.service)
    assert all(len(services) == 1 for topic, services in writers.items() if not topic.endswith("-dlq"))


def test_each_topic_is_written_by_its_owner_and_read_by_its_consumers() -> None:
    for topic in catalogue().topics.values():
        assert topic.name in access()[topic.owner].writes
        readers = {service for service, each in access().items() if topic.name in each.reads}
        assert readers == {service_of(each, SERVICES) for each in topic.consumers}


def test_dead_letters_are_written_and_read_by_those_alone_who_consume_the_topic() -> None:
    for topic in catalogue().topics.values():
        consumers = {service_of(each, SERVICES) for each in topic.consumers}
        letters = dlq_of(topic.name)
        assert {service for service, each in access().items() if letters in each.writes} == consumers
        assert {service for service, each in access().items() if letters in each.reads} == consumers


def test_a_group_belongs_to_one_service() -> None:
    assert access()["notify"].groups == ("notify", "notify-webhooks")
    assert access()["binding"].groups == ("binding",)
    assert access()["identity"] == Access("identity", ("identity-events-v1",), (), ())


def test_a_consumer_that_is_no_service_is_told_not_left_out() -> None:
    with pytest.raises(CatalogueError, match="analytics is no consumer group"):
        service_of("analytics", SERVICES)
    with pytest.raises(CatalogueError, match="no consumer group of identity"):
        access_of(Catalogue(list(catalogue().topics.values())), ("identity",))


def test_a_name_that_only_begins_alike_is_another_one() -> None:
    with pytest.raises(CatalogueError):
        service_of("notifying", SERVICES)
