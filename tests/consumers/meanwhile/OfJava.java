package gongji.example;

import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;

/** Prints where Since begins when the first record of its time is published between its two questions. */
final class OfJava {
  private static final TopicPartition PLACE = new TopicPartition("account-events-v1", 3);

  /** There are five records of an earlier time; after each question, one more is published. */
  private static long end = 5;

  private OfJava() {}

  public static void main(String[] arguments) {
    Consumer<?, ?> consumer =
        (Consumer<?, ?>)
            Proxy.newProxyInstance(
                OfJava.class.getClassLoader(),
                new Class<?>[] {Consumer.class},
                (proxy, method, given) -> answer(method.getName(), given));
    new Since(consumer, 1).onPartitionsAssigned(List.of(PLACE));
  }

  private static Object answer(String question, Object[] given) {
    switch (question) {
      case "committed":
        return Map.of();
      case "offsetsForTimes":
        Map<TopicPartition, OffsetAndTimestamp> found = new HashMap<>();
        found.put(PLACE, end > 5 ? new OffsetAndTimestamp(5, 1) : null);
        end++;
        return found;
      case "endOffsets":
        return Map.of(PLACE, end++);
      case "seek":
        System.out.println(given[1]);
        return null;
      default:
        throw new UnsupportedOperationException(question);
    }
  }
}
