import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Copies a topic with Kafka Streams: the smallest topology there is. */
public final class Streams {
    private static final AtomicLong FIRST = new AtomicLong();
    private static final AtomicLong SEEN = new AtomicLong();

    public static void main(String[] args) throws Exception {
        Job job = Job.read(args);
        StreamsBuilder builder = new StreamsBuilder();
        builder.<byte[], byte[]>stream(job.input).peek((key, value) -> count()).to(job.output);
        KafkaStreams streams = new KafkaStreams(builder.build(), properties(job));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        long origin = System.nanoTime();
        Instant originTime = Instant.now();
        streams.start();
        long last = untilCommitted(job, streams);
        boolean closed = streams.close(Duration.ofSeconds(30));
        if (!closed) {
            throw new IllegalStateException("it did not close");
        }
        streams.cleanUp();
        long first = FIRST.get();
        job.report(originTime.plusNanos(first - origin), (last - first) / 1e9, 0);
    }

    private static void count() {
        if (FIRST.get() == 0) {
            FIRST.compareAndSet(0, System.nanoTime());
        }
        SEEN.incrementAndGet();
    }

    private static Properties properties(Job job) {
        Properties properties = job.settings("");
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, job.group);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
            job.exactlyOnce ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, job.interval.toMillis());
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        properties.put("auto.offset.reset", "earliest");
        properties.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir") + "/" + job.group);
        return properties;
    }

    /** Streams tells nobody of its commits, so the group is asked, every few milliseconds near the end. */
    private static long untilCommitted(Job job, KafkaStreams streams) throws Exception {
        while (SEEN.get() < job.records) {
            ensureRunning(streams);
            TimeUnit.MILLISECONDS.sleep(5);
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", job.bootstrap))) {
            var stable = new ListConsumerGroupOffsetsOptions().requireStable(true);
            while (true) {
                ensureRunning(streams);
                Map<TopicPartition, OffsetAndMetadata> committed =
                    admin.listConsumerGroupOffsets(job.group, stable).partitionsToOffsetAndMetadata().get();
                long sum = committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum();
                if (sum >= job.records) {
                    return System.nanoTime();
                }
                TimeUnit.MILLISECONDS.sleep(2);
            }
        }
    }

    private static void ensureRunning(KafkaStreams streams) {
        if (streams.state().hasCompletedShutdown() || streams.state() == KafkaStreams.State.ERROR) {
            throw new IllegalStateException("Kafka Streams ended: " + streams.state());
        }
    }
}
