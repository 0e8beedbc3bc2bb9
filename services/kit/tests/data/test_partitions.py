"""Events of one key stay in one partition, whichever client and release computes it."""

from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from kit.partitions import partition_of


@given(st.binary(max_size=70), st.integers(1, 64))
def test_a_key_goes_where_the_client_of_kafka_would_send_it(key: bytes, count: int) -> None:
    partitions = list(range(count))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, partitions, partitions)


def test_keys_go_where_they_always_went() -> None:
    # By Java's org.apache.kafka.common.utils.Utils.murmur2, in its own tests.
    of_java = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, value in of_java.items():
        assert partition_of(key, range(2**31)) == value & 0x7FFFFFFF
