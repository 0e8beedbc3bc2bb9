package gongji.example;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import gongji.settlement.events.v1.AccountEvents.AccountClosed;
import gongji.settlement.events.v1.AccountEvents.AccountCredited;
import gongji.settlement.events.v1.AccountEvents.AccountDebited;
import gongji.settlement.events.v1.AccountEvents.AccountFrozen;
import gongji.settlement.events.v1.AccountEvents.AccountPaidOut;
import gongji.settlement.events.v1.AccountEvents.AccountRefunded;
import gongji.settlement.events.v1.AccountEvents.AccountUnfrozen;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** A record as an event: CloudEvents attributes in the headers, a protobuf message in the value. */
record Event(
    String topic, int partition, long offset, String owner, byte[] value, Map<String, String> headers) {

  private static final Pattern ANY = Pattern.compile(".+");
  private static final Pattern NUMBER = Pattern.compile("[0-9]{1,18}");

  /** What this consumer understands. Types that come later are passed over. */
  private static final Map<String, Parser<? extends Message>> TYPES =
      Stream.of(
              AccountDebited.getDefaultInstance(),
              AccountRefunded.getDefaultInstance(),
              AccountCredited.getDefaultInstance(),
              AccountFrozen.getDefaultInstance(),
              AccountUnfrozen.getDefaultInstance(),
              AccountClosed.getDefaultInstance(),
              AccountPaidOut.getDefaultInstance())
          .collect(Collectors.toMap(kind -> kind.getDescriptorForType().getFullName(), Message::getParserForType));

  /** What makes an event the one that it is. */
  record Identity(String id, long epoch, long sequence) {}

  static Event of(ConsumerRecord<byte[], byte[]> raw) {
    Map<String, String> headers = new LinkedHashMap<>();
    for (Header header : raw.headers()) {
      headers.put(header.key(), text(header.value()));
    }
    return new Event(raw.topic(), raw.partition(), raw.offset(), text(raw.key()), raw.value(), headers);
  }

  private static String text(byte[] bytes) {
    return bytes == null ? "" : new String(bytes, UTF_8);
  }

  /** From the headers, so that also what is not understood is counted. */
  Identity identity() throws UnreadableException {
    String id = header("ce_id", ANY);
    header("ce_type", ANY);
    return new Identity(id, Long.parseLong(header("epoch", NUMBER)), Long.parseLong(header("ce_sequence", NUMBER)));
  }

  /** The balance that it tells, or null of a type that came later than this consumer. */
  Long balanceAfterFen() throws UnreadableException {
    Parser<? extends Message> parser = TYPES.get(headers.get("ce_type"));
    if (parser == null) {
      return null;
    }
    try {
      Message message = parser.parseFrom(value);
      FieldDescriptor balance = message.getDescriptorForType().findFieldByName("balance_after_fen");
      return (Long) message.getField(balance);
    } catch (InvalidProtocolBufferException error) {
      throw new UnreadableException("the payload is no " + shortType());
    }
  }

  /** The event's type without its package. */
  String shortType() {
    return headers.get("ce_type").replaceFirst(".*\\.", "");
  }

  String masked() {
    return mask(owner);
  }

  /** Numbers of persons are in no log. */
  static String mask(String psnNo) {
    return "…" + psnNo.substring(Math.max(0, psnNo.length() - 4));
  }

  /** What a record of a dead-letter topic says: who failed on it, how, and where it was. */
  Stream<String> asDeadLetter() {
    String type = headers.getOrDefault("ce_type", "no event");
    Stream<String> told =
        headers.entrySet().stream()
            .filter(header -> header.getKey().startsWith("x-dlq-"))
            .map(header -> "  " + header.getKey() + " " + header.getValue());
    return Stream.concat(Stream.of("dead letter: %s of %s".formatted(type, masked())), told);
  }

  private String header(String name, Pattern pattern) throws UnreadableException {
    String value = headers.getOrDefault(name, "");
    if (!pattern.matcher(value).matches()) {
      throw new UnreadableException(name + " is missing or malformed");
    }
    return value;
  }
}
