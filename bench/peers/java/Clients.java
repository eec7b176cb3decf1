import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Queue;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Copies a topic with the Java client: the loops of KafkaConsumer's and KafkaProducer's documentation, with offsets
 * committed synchronously, or in transactions.
 */
public final class Clients {
    private static final Duration POLL = Duration.ofMillis(10);

    private final Job job;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<byte[], byte[]> producer;
    /** Polled, and not sent yet: a commit holds exactly as many records as it should. */
    private final Queue<ConsumerRecord<byte[], byte[]>> polled = new ArrayDeque<>();
    /** Where the commit that is open will end. */
    private final Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
    private volatile Exception failed;
    private Instant first;
    private long started;
    private long last;
    private long seen;
    private long taken;
    private long retried;

    private Clients(Job job) {
        this.job = job;
        Properties reading = job.settings("consumer.");
        reading.put("group.id", job.group);
        reading.put("auto.offset.reset", "earliest");
        reading.put("enable.auto.commit", "false");
        reading.put("max.poll.records", (int) Math.min(job.batch, 10_000));
        consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Properties writing = job.settings("producer.");
        writing.put("acks", "all");
        writing.put("enable.idempotence", "true");
        if (job.exactlyOnce) {
            writing.put("transactional.id", job.group);
        }
        producer = new KafkaProducer<>(writing, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] args) throws Exception {
        Job job = Job.read(args);
        Clients copy = new Clients(job);
        copy.run();
        copy.producer.close();
        copy.consumer.close();
        job.report(copy.first, (copy.last - copy.started) / 1e9, copy.retried);
    }

    private void run() {
        if (job.exactlyOnce) {
            producer.initTransactions();
        }
        consumer.subscribe(List.of(job.input), new Revoked());
        while (taken > 0 || seen < job.records) {
            try {
                fill();
                if (isDue()) {
                    commit();
                }
            } catch (ProducerFencedException | OutOfOrderSequenceException | AuthorizationException fatal) {
                throw fatal;
            } catch (KafkaException error) {
                if (!job.exactlyOnce) {
                    throw error;
                }
                abort();
            }
        }
    }

    /** Sends what was polled, up to what the commit may hold. */
    private void fill() {
        if (polled.isEmpty()) {
            consumer.poll(POLL).forEach(polled::add);
        }
        if (polled.isEmpty()) {
            return;
        }
        if (first == null) {
            first = Instant.now();
            started = last = System.nanoTime();
        }
        if (taken == 0 && job.exactlyOnce) {
            producer.beginTransaction();
        }
        while (taken < job.batch && !polled.isEmpty()) {
            send(polled.remove());
        }
    }

    private void send(ConsumerRecord<byte[], byte[]> record) {
        var copy = new ProducerRecord<>(job.output, null, record.timestamp(), record.key(), record.value());
        if (job.exactlyOnce) {
            // A transaction in which a record failed does not commit.
            producer.send(copy);
        } else {
            producer.send(copy, (metadata, error) -> {
                if (error != null) {
                    failed = error;
                }
            });
        }
        next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        taken++;
        seen++;
    }

    private boolean isDue() {
        boolean late = System.nanoTime() - last >= job.interval.toNanos();
        return taken > 0 && (taken >= job.batch || seen >= job.records || late);
    }

    private void commit() {
        if (job.exactlyOnce) {
            producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
            producer.commitTransaction();
        } else {
            producer.flush();
            if (failed != null) {
                throw new IllegalStateException("a record was not written", failed);
            }
            consumer.commitSync(next);
        }
        last = System.nanoTime();
        taken = 0;
        next.clear();
    }

    /** Gives the transaction up, and goes back to the committed offsets. */
    private void abort() {
        producer.abortTransaction();
        polled.clear();
        next.clear();
        seen -= taken;
        taken = 0;
        retried++;
        consumer.committed(consumer.assignment()).forEach((partition, offset) -> {
            if (offset == null) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, offset);
            }
        });
    }

    /** What was sent is committed while its partitions are still this member's. */
    private final class Revoked implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            if (taken > 0) {
                commit();
            }
            polled.removeIf(record -> partitions.contains(new TopicPartition(record.topic(), record.partition())));
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            // They start where the group has committed.
        }
    }
}
