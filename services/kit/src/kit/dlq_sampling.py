"""How many dead letters wait for somebody, told on `/metrics`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kit.bus_metrics import GROUP, TOPIC
from kit.db import Database
from kit.dead_letters import KafkaDeadLetterQueue
from kit.dlq_actions import actions_of
from kit.dlq_letters import KafkaDeadLetters
from kit.dlq_replay import Looking
from kit.kafka_client import KafkaSettings
from kit.metrics import EVERY
from kit.sampling import Probe

MOST_COUNTED: Final = 1_000

OPEN: Final = EVERY.gauge(
    "gongji_dlq_open_letters",
    "Events that failed and were neither replayed nor dropped, as `dlq list` shows them; 1,000 at most are counted.",
    unit="events",
    labels=(GROUP, TOPIC),
)


class OpenLetters:
    """Counts the open letters of a service's consumer groups; a probe of `kit.sampling`.

    Args:
        looking: reads the letters and how they ended.
        topics: what each group consumes.
        close: gives up the connections after each count.
    """

    def __init__(self, looking: Looking, topics: Mapping[str, Sequence[str]], close: Probe) -> None:
        self._looking = looking
        self._topics = topics
        self._close = close

    async def __call__(self) -> None:
        """Count, topic by topic."""
        try:
            await self._tell()
        finally:
            await self._close()

    async def _tell(self) -> None:
        for topic in dict.fromkeys(topic for topics in self._topics.values() for topic in topics):
            found = await self._count(topic)
            for group, topics in self._topics.items():
                if topic in topics:
                    OPEN.labels(group, topic).set(found[group])

    async def _count(self, topic: str) -> Counter[str]:
        found: Counter[str] = Counter()
        async for letter in self._looking.all(topic):
            if letter.end is None and self._looking.is_ours(letter.letter):
                found[letter.letter.consumer] += 1
                if found.total() >= MOST_COUNTED:
                    break
        return found


def open_letters(kafka: KafkaSettings, database: Database, topics: Mapping[str, Sequence[str]]) -> OpenLetters:
    """The probe on Kafka and the service's database."""
    client_id = f"letters-{'-'.join(topics)}"
    queue = KafkaDeadLetterQueue(kafka, client_id)
    letters = KafkaDeadLetters(kafka, queue, client_id)
    return OpenLetters(Looking(letters, actions_of(database), list(topics)), topics, queue.close)
