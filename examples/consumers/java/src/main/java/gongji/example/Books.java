package gongji.example;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What is done with an event: its effect, once, in one transaction with its {@code ce_id}. */
final class Books implements AutoCloseable {
  private static final List<String> SCHEMA =
      List.of(
          // The ids of all events that had their effect. Keep them longer than the topic keeps its records.
          "CREATE TABLE IF NOT EXISTS inbox (ce_id TEXT PRIMARY KEY) WITHOUT ROWID",
          // How far each account has come, and its balance then.
          "CREATE TABLE IF NOT EXISTS account (psn_no TEXT PRIMARY KEY, epoch INTEGER NOT NULL,"
              + " sequence INTEGER NOT NULL, balance_fen INTEGER)",
          // What never came, for a person to look at.
          "CREATE TABLE IF NOT EXISTS gap (psn_no TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL)",
          // What could not be read, as it came, for a person to look at.
          "CREATE TABLE IF NOT EXISTS set_aside (topic TEXT, part INTEGER, place INTEGER, why TEXT, value BLOB,"
              + " PRIMARY KEY (topic, part, place))");

  private static final String BALANCES =
      "SELECT psn_no, balance_fen FROM account WHERE balance_fen IS NOT NULL ORDER BY psn_no";

  private final Connection database;

  Books(Path file) throws SQLException {
    database = DriverManager.getConnection("jdbc:sqlite:" + file);
    try (Statement statement = database.createStatement()) {
      for (String table : SCHEMA) {
        statement.execute(table);
      }
    }
    database.setAutoCommit(false);
  }

  /** Gives all events their effect in one transaction, and tells of each. Acknowledge them after this returned. */
  List<String> take(List<Event> events) throws SQLException {
    List<String> lines = new ArrayList<>();
    try {
      for (Event event : events) {
        one(event, lines);
      }
      database.commit();
      return lines;
    } catch (SQLException | RuntimeException error) {
      database.rollback();
      throw error;
    }
  }

  /** Every account's balance. */
  List<String> balances() throws SQLException {
    List<String> lines = new ArrayList<>();
    try (Statement statement = database.createStatement();
        ResultSet rows = statement.executeQuery(BALANCES)) {
      while (rows.next()) {
        lines.add("%s balance %s fen".formatted(Event.mask(rows.getString(1)), rows.getObject(2)));
      }
    }
    return lines;
  }

  @Override
  public void close() throws SQLException {
    database.close();
  }

  private void one(Event event, List<String> lines) throws SQLException {
    if (event.value() == null) {
      return; // a tombstone; these topics have none today
    }
    try {
      apply(event, lines);
    } catch (UnreadableException error) {
      setAside(event, error.getMessage());
      lines.add("%s set aside: %s".formatted(event.masked(), error.getMessage()));
    }
  }

  private void apply(Event event, List<String> lines) throws SQLException, UnreadableException {
    Event.Identity identity = event.identity();
    if (execute("INSERT INTO inbox VALUES (?) ON CONFLICT DO NOTHING", identity.id()) == 0) {
      lines.add("%s repeat of %d".formatted(event.masked(), identity.sequence()));
      return;
    }
    Place known = placeOf(event.owner());
    if (known != null && !known.isBefore(identity)) {
      lines.add("%s late %d".formatted(event.masked(), identity.sequence())); // what came since says more
      return;
    }
    count(event, known, lines);
    lines.add(effect(event));
  }

  /** Moves the account on, and sees whether anything is missing before this event. */
  private void count(Event event, Place known, List<String> lines) throws SQLException, UnreadableException {
    Event.Identity identity = event.identity();
    if (known != null && identity.epoch() > known.epoch()) {
      lines.add("%s restored from a backup: from %d on it is told anew".formatted(event.masked(), identity.sequence()));
    }
    if (known != null && identity.sequence() > known.sequence() + 1) {
      long first = known.sequence() + 1;
      long last = identity.sequence() - 1;
      execute("INSERT INTO gap VALUES (?, ?, ?)", event.owner(), first, last);
      lines.add("%s gap: %d to %d never came".formatted(event.masked(), first, last));
    }
    execute(
        "INSERT INTO account (psn_no, epoch, sequence) VALUES (?, ?, ?)"
            + " ON CONFLICT (psn_no) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence",
        event.owner(), identity.epoch(), identity.sequence());
  }

  private String effect(Event event) throws SQLException, UnreadableException {
    long sequence = event.identity().sequence();
    Long balanceFen = event.balanceAfterFen();
    if (balanceFen == null) {
      return "%s %d passed over: %s".formatted(event.masked(), sequence, event.shortType());
    }
    execute("UPDATE account SET balance_fen = ? WHERE psn_no = ?", balanceFen, event.owner());
    return "%s %d %s, balance %d fen".formatted(event.masked(), sequence, event.shortType(), balanceFen);
  }

  private void setAside(Event event, String why) throws SQLException {
    execute(
        "INSERT INTO set_aside VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        event.topic(), event.partition(), event.offset(), why, event.value());
  }

  private Place placeOf(String owner) throws SQLException {
    try (PreparedStatement query = prepared("SELECT epoch, sequence FROM account WHERE psn_no = ?", owner);
        ResultSet rows = query.executeQuery()) {
      return rows.next() ? new Place(rows.getLong(1), rows.getLong(2)) : null;
    }
  }

  private int execute(String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = prepared(sql, values)) {
      return statement.executeUpdate();
    }
  }

  private PreparedStatement prepared(String sql, Object... values) throws SQLException {
    PreparedStatement statement = database.prepareStatement(sql);
    for (int at = 0; at < values.length; at++) {
      statement.setObject(at + 1, values[at]);
    }
    return statement;
  }

  /** How far an account has come. */
  private record Place(long epoch, long sequence) {
    boolean isBefore(Event.Identity other) {
      return epoch < other.epoch() || (epoch == other.epoch() && sequence < other.sequence());
    }
  }
}
