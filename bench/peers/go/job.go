package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// job is what the bench says, as JSON in the last argument.
type job struct {
	Contestant struct {
		Guarantee string `json:"guarantee"`
		Cadence   struct {
			Records int   `json:"records"`
			Ms      int64 `json:"ms"`
		} `json:"cadence"`
	} `json:"contestant"`
	Bootstrap string            `json:"bootstrap"`
	Input     string            `json:"input"`
	Output    string            `json:"output"`
	Group     string            `json:"group"`
	Records   int               `json:"records"`
	Settings  map[string]string `json:"settings"`
}

func readJob() (job, error) {
	var job job
	err := json.Unmarshal([]byte(os.Args[len(os.Args)-1]), &job)
	return job, err
}

// pace counts records, and says when the next commit is due.
type pace struct {
	records, batch int
	interval       time.Duration
	seen, taken    int
	first, last    time.Time
	retried        int
}

func newPace(job job) *pace {
	p := &pace{records: job.Records, batch: math.MaxInt, interval: math.MaxInt64}
	if cadence := job.Contestant.Cadence; cadence.Records > 0 {
		p.batch = cadence.Records
	} else {
		p.interval = time.Duration(cadence.Ms) * time.Millisecond
	}
	return p
}

// room is how many more records this commit may hold.
func (p *pace) room() int { return p.batch - p.taken }

func (p *pace) took(records int) {
	if records > 0 && p.first.IsZero() {
		p.first = time.Now()
		p.last = p.first
	}
	p.seen += records
	p.taken += records
}

func (p *pace) due() bool {
	return p.taken > 0 && (p.taken >= p.batch || p.seen >= p.records || time.Since(p.last) >= p.interval)
}

func (p *pace) committed() {
	p.taken = 0
	p.last = time.Now()
}

// aborted takes the records of an attempt back: they come again.
func (p *pace) aborted() {
	p.seen -= p.taken
	p.retried++
	p.committed()
}

func (p *pace) atTheEnd() bool { return p.taken == 0 && p.seen >= p.records }

// exitWithoutBench ends the program when the bench is gone.
func exitWithoutBench() <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(closed)
	}()
	return closed
}

// report prints the result, and waits until the bench has read what it wants to know about this process.
func (p *pace) report(closed <-chan struct{}) error {
	select {
	case <-closed:
		return errors.New("the bench is gone")
	default:
	}
	fmt.Printf(
		"{\"first_unix_us\":%d,\"elapsed_s\":%f,\"retried\":%d}\n",
		p.first.UnixMicro(), p.last.Sub(p.first).Seconds(), p.retried,
	)
	<-closed
	return nil
}
