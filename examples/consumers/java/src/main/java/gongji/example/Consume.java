package gongji.example;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads account-events-v1 with kafka-clients. docs/consuming.md tells what is worth copying, and why. */
public final class Consume {
  private static final String TOPIC = "account-events-v1";
  private static final Duration POLL = Duration.ofMillis(500);
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  private Consume() {}

  public static void main(String[] arguments) throws SQLException {
    Options options = Options.parse(arguments);
    if (options.deadLetters()) {
      showDeadLetters(options);
    } else {
      follow(options);
    }
  }

  /** Takes events for as long as it runs, or until there are no more. */
  private static void follow(Options options) throws SQLException {
    try (Books books = new Books(options.state());
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(options))) {
      leaveWhenAsked(consumer);
      if (options.since() == null) {
        consumer.subscribe(List.of(TOPIC));
      } else {
        consumer.subscribe(List.of(TOPIC), new Since(consumer, options.sinceMillis()));
      }
      while (!(options.once() && isAtEnd(consumer))) {
        List<Event> events = poll(consumer);
        if (!events.isEmpty()) {
          books.take(events).forEach(OUT::println);
          acknowledge(consumer);
        }
      }
      books.balances().forEach(OUT::println);
    } catch (WakeupException asked) {
      // Asked to end: both are closed by now, and the group is left.
    }
  }

  /** Asked to end, it leaves the group first, so that others go on at once. */
  private static void leaveWhenAsked(KafkaConsumer<?, ?> consumer) {
    Thread follower = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      consumer.wakeup();
      try {
        follower.join();
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
      }
    }));
  }

  /** Last: what comes again after a crash, or because somebody else has the partition now, is known by its ce_id. */
  private static void acknowledge(KafkaConsumer<?, ?> consumer) {
    try {
      consumer.commitSync();
    } catch (CommitFailedException | RebalanceInProgressException error) {
      OUT.println("not committed, so it comes again: " + error.getClass().getSimpleName());
    }
  }

  /** Whether it has partitions and has read all of them. */
  private static boolean isAtEnd(KafkaConsumer<?, ?> consumer) {
    Map<TopicPartition, Long> ends = consumer.endOffsets(consumer.assignment());
    return !ends.isEmpty()
        && ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
  }

  /** Prints what Gongji's own consumers could not handle; without a group, so nothing is acknowledged. */
  private static void showDeadLetters(Options options) {
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(options))) {
      Stream<TopicPartition> places =
          consumer.partitionsFor(TOPIC + "-dlq").stream()
              .map(part -> new TopicPartition(part.topic(), part.partition()));
      consumer.assign(places.toList());
      consumer.seekToBeginning(consumer.assignment());
      while (!isAtEnd(consumer)) {
        poll(consumer).stream().flatMap(Event::asDeadLetter).forEach(OUT::println);
      }
    }
  }

  private static List<Event> poll(KafkaConsumer<byte[], byte[]> consumer) {
    List<Event> events = new ArrayList<>();
    for (ConsumerRecord<byte[], byte[]> raw : consumer.poll(POLL)) {
      events.add(Event.of(raw));
    }
    return events;
  }

  private static Properties settings(Options options) {
    Properties settings = new Properties();
    settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, options.bootstrap());
    settings.put(ConsumerConfig.GROUP_ID_CONFIG, options.group());
    // Or what was not yet written counts as done.
    settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
    // The default skips what was there before the group.
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    settings.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
    settings.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
    settings.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
    return settings;
  }
}
