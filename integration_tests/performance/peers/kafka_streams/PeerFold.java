import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with the peers' fold (see peer_fold.py for the bytes): RocksDB, changelog,
 * exactly_once_v2, two threads, everything else as Kafka Streams has it by default.
 *
 * <p>Arguments: bootstrap, topic, records, group, directory. Ends by itself when every record was
 * folded and committed.
 */
public final class PeerFold {
    private static final String STORE = "fold";
    private static final int STATE_HEAD_BYTES = 20;
    private static final int ID_BYTES = 8;
    private static final int REPORTED_PART = 10;

    private PeerFold() {}

    /** Counts what the fold was given and writes the marks. */
    private static final class Progress {
        private final AtomicLong given = new AtomicLong();
        private final long records;
        private final Path file;
        private volatile long tenthMs;
        private final CountDownLatch all = new CountDownLatch(1);

        Progress(long records, Path file) {
            this.records = records;
            this.file = file;
        }

        void add() {
            long now = given.incrementAndGet();
            if (now == records / REPORTED_PART) {
                tenthMs = System.currentTimeMillis();
            }
            if (now == records) {
                write(System.currentTimeMillis());
                all.countDown();
            }
        }

        private void write(long lastMs) {
            String text = "{\"tenth_ms\": " + tenthMs + ", \"last_ms\": " + lastMs + "}";
            Path partial = file.resolveSibling("marks.partial");
            try {
                Files.writeString(partial, text);
                Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException error) {
                throw new IllegalStateException("marks could not be written", error);
            }
        }
    }

    /** The fold itself. */
    private static final class Folding extends ContextualProcessor<byte[], byte[], Void, Void> {
        private final Progress progress;
        private KeyValueStore<byte[], byte[]> states;

        Folding(Progress progress) {
            this.progress = progress;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            super.init(context);
            states = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            byte[] after = fold(states.get(record.key()), record.value());
            if (after != null) {
                states.put(record.key(), after);
            }
            progress.add();
        }
    }

    /** Returns the state after the event, null when it is a duplicate and nothing changes. */
    static byte[] fold(byte[] state, byte[] event) {
        ByteBuffer given = ByteBuffer.wrap(event).order(ByteOrder.LITTLE_ENDIAN);
        long timeMs = given.getLong(ID_BYTES);
        int amount = given.getInt(2 * ID_BYTES);
        int size = state == null ? STATE_HEAD_BYTES : state.length;
        for (int at = STATE_HEAD_BYTES; at < size; at += ID_BYTES) {
            if (Arrays.equals(state, at, at + ID_BYTES, event, 0, ID_BYTES)) {
                return null;
            }
        }
        byte[] after = state == null ? new byte[size + ID_BYTES] : Arrays.copyOf(state, size + ID_BYTES);
        System.arraycopy(event, 0, after, size, ID_BYTES);
        ByteBuffer head = ByteBuffer.wrap(after).order(ByteOrder.LITTLE_ENDIAN);
        head.putInt(0, head.getInt(0) + 1);
        head.putLong(4, state == null ? timeMs : Math.max(head.getLong(4), timeMs));
        head.putLong(12, head.getLong(12) + amount);
        return after;
    }

    private static Properties settings(String bootstrap, String group, String directory) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory + "/state");
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        // The broker's clock tells when an output was written, for every engine alike.
        settings.put(StreamsConfig.topicPrefix("message.timestamp.type"), "LogAppendTime");
        return settings;
    }

    /** Runs until every record is folded and committed. */
    public static void main(String[] arguments) throws InterruptedException {
        Path marks = Path.of(arguments[4], "marks.json");
        Progress progress = new Progress(Long.parseLong(arguments[2]), marks);
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(STORE),
                                Serdes.ByteArray(),
                                Serdes.ByteArray())
                        .withCachingEnabled()
                        .withLoggingEnabled(Map.of()));
        builder.stream(arguments[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Folding(progress), STORE);
        Properties settings = settings(arguments[0], arguments[3], arguments[4]);
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.setUncaughtExceptionHandler(
                    error -> {
                        error.printStackTrace();
                        System.exit(1);
                        return null;
                    });
            streams.start();
            progress.all.await();
            streams.close(Duration.ofSeconds(60));
        }
    }
}
