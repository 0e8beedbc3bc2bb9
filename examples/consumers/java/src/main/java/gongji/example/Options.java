package gongji.example;

import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The command line. */
record Options(String bootstrap, String group, Path state, LocalDate since, boolean once, boolean deadLetters) {
  private static final String USAGE =
      """
      java -jar target/consumer.jar --bootstrap HOST:PORT [--group NAME] [--state FILE] [--since YYYY-MM-DD] [--once]
      java -jar target/consumer.jar --bootstrap HOST:PORT --dead-letters
      --group is never changed later; --since counts where the group was never, so keep it; --once ends at the end.""";
  private static final Set<String> SWITCHES = Set.of("--once", "--dead-letters");
  private static final Set<String> NAMED = Set.of("--bootstrap", "--group", "--state", "--since");

  static Options parse(String... arguments) {
    Map<String, String> given = new HashMap<>();
    for (Iterator<String> rest = List.of(arguments).iterator(); rest.hasNext(); ) {
      String name = rest.next();
      if (!SWITCHES.contains(name) && !(NAMED.contains(name) && rest.hasNext())) {
        throw new IllegalArgumentException(USAGE);
      }
      given.put(name, SWITCHES.contains(name) ? "" : rest.next());
    }
    if (!given.containsKey("--bootstrap")) {
      throw new IllegalArgumentException(USAGE);
    }
    String since = given.get("--since");
    return new Options(
        given.get("--bootstrap"),
        given.getOrDefault("--group", "example-java"),
        Path.of(given.getOrDefault("--state", "accounts.db")),
        since == null ? null : LocalDate.parse(since),
        given.containsKey("--once"),
        given.containsKey("--dead-letters"));
  }

  /** The beginning of that day in Asia/Shanghai. */
  long sinceMillis() {
    return since.atStartOfDay(ZoneId.of("Asia/Shanghai")).toInstant().toEpochMilli();
  }
}
