// Copies a topic with franz-go: what its documentation shows for consuming in a group and producing, by itself for
// at-least-once, and in a GroupTransactSession for exactly-once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run closes the clients before it reports: what they still have to do counts as the program's CPU time.
func run() error {
	job, err := readJob()
	if err != nil {
		return err
	}
	closed := exitWithoutBench()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-closed
		cancel()
	}()
	options, err := options(job)
	if err != nil {
		return err
	}
	pace := newPace(job)
	if job.Contestant.Guarantee == "exactly_once" {
		err = exactlyOnce(ctx, job, options, pace)
	} else {
		err = atLeastOnce(ctx, job, options, pace)
	}
	if err != nil {
		return err
	}
	return pace.report(closed)
}

var codecs = map[string]kgo.CompressionCodec{"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}

func options(job job) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(job.Bootstrap),
		kgo.ConsumerGroup(job.Group),
		kgo.ConsumeTopics(job.Input),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	for name, value := range job.Settings {
		if name == "ProducerBatchCompression" {
			codec, known := codecs[value]
			if !known {
				return nil, fmt.Errorf("unknown compression %s", value)
			}
			options = append(options, kgo.ProducerBatchCompression(codec))
			continue
		}
		duration, err := time.ParseDuration(value)
		if err != nil {
			return nil, err
		}
		switch name {
		case "RetryBackoffFn":
			options = append(options, kgo.RetryBackoffFn(func(int) time.Duration { return duration }))
		case "ConcurrentTransactionsBackoff":
			options = append(options, kgo.ConcurrentTransactionsBackoff(duration))
		default:
			return nil, fmt.Errorf("unknown setting %s", name)
		}
	}
	return options, nil
}

// atLeastOnce polls, produces, and after every batch flushes and commits.
func atLeastOnce(ctx context.Context, job job, options []kgo.Opt, pace *pace) error {
	// A rebalance waits until what was polled is committed.
	client, err := kgo.NewClient(append(options, kgo.BlockRebalanceOnPoll())...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	var failure atomic.Pointer[error]
	delivered := func(_ *kgo.Record, err error) {
		if err != nil {
			failure.CompareAndSwap(nil, &err)
		}
	}
	for !pace.atTheEnd() {
		fetches, err := poll(ctx, client, pace)
		if err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) { client.Produce(ctx, copied(job, record), delivered) })
		if pace.taken == 0 {
			client.AllowRebalance()
		}
		if !pace.due() {
			continue
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		if failed := failure.Load(); failed != nil {
			return *failed
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
		pace.committed()
		client.AllowRebalance()
	}
	return nil
}

// exactlyOnce does the same in transactions. A session that could not commit has gone back to the committed offsets.
func exactlyOnce(ctx context.Context, job job, options []kgo.Opt, pace *pace) error {
	session, err := kgo.NewGroupTransactSession(append(options,
		kgo.TransactionalID(job.Group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)...)
	if err != nil {
		return err
	}
	defer session.Close()
	for !pace.atTheEnd() {
		fresh := pace.taken == 0
		fetches, err := poll(ctx, session.Client(), pace)
		if err != nil {
			return err
		}
		if fresh && pace.taken > 0 {
			if err := session.Begin(); err != nil {
				return err
			}
		}
		fetches.EachRecord(func(record *kgo.Record) { session.Produce(ctx, copied(job, record), nil) })
		if !pace.due() {
			continue
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		if err != nil {
			return err
		}
		if committed {
			pace.committed()
		} else {
			pace.aborted()
		}
	}
	return nil
}

// pollWait is so long that a commit by time is not late when nothing comes.
const pollWait = 10 * time.Millisecond

func poll(ctx context.Context, client *kgo.Client, pace *pace) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	fetches := client.PollRecords(ctx, pace.room())
	for _, failed := range fetches.Errors() {
		if !errors.Is(failed.Err, context.DeadlineExceeded) {
			return nil, failed.Err
		}
	}
	pace.took(fetches.NumRecords())
	return fetches, nil
}

func copied(job job, record *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: job.Output, Key: record.Key, Value: record.Value, Timestamp: record.Timestamp}
}
