package gongji.example;

import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;

/** Begins with what was published at or after a moment, where the group has not been before. */
final class Since implements ConsumerRebalanceListener {
  private final Consumer<?, ?> consumer;
  private final long atMillis;

  Since(Consumer<?, ?> consumer, long atMillis) {
    this.consumer = consumer;
    this.atMillis = atMillis;
  }

  /** Looks for the first record of that time in each partition; what has none yet begins at its end. */
  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
    Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(new HashSet<>(assigned));
    Map<TopicPartition, Long> wanted = new HashMap<>();
    for (TopicPartition place : assigned) {
      if (committed.get(place) == null) {
        wanted.put(place, atMillis);
      }
    }
    // First, or what is published in between is skipped.
    Map<TopicPartition, Long> ends = consumer.endOffsets(wanted.keySet());
    Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(wanted);
    for (TopicPartition place : wanted.keySet()) {
      OffsetAndTimestamp first = found.get(place);
      consumer.seek(place, first == null ? Objects.requireNonNull(ends.get(place)) : first.offset());
    }
  }

  /** Nothing: each batch is committed before the next is asked for. */
  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}
}
