package cpu

import (
	"sync"
	"sync/atomic"
)

// pool spreads tasks over goroutines. The caller of each works on its own tasks too, so that jobs of several callers cannot wait
// for each other, and a job is done even if the whole pool is busy elsewhere.
type pool struct {
	threads int
	jobs    chan *job
	done    chan struct{}
	once    sync.Once
}

// job is n calls of do, each made once, by whoever takes the next number.
type job struct {
	do   func(task int)
	n    int64
	next atomic.Int64
	left sync.WaitGroup // tasks not yet finished
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, jobs: make(chan *job, 2*threads), done: make(chan struct{})}
	for range threads - 1 {
		go func() {
			for {
				select {
				case j := <-p.jobs:
					j.work()
				case <-p.done:
					return
				}
			}
		}()
	}
	return p
}

// run calls do(0) to do(n-1), each once and in no order, and returns when all have returned.
func (p *pool) run(n int, do func(task int)) {
	if n == 1 || p.threads == 1 {
		for task := range n {
			do(task)
		}
		return
	}
	j := &job{do: do, n: int64(n)}
	j.left.Add(n)
	for range min(n, p.threads) - 1 {
		select {
		case p.jobs <- j:
		default: // enough is waiting already
		}
	}
	j.work()
	j.left.Wait()
}

// work takes tasks until none is left to take. A job found in the queue after its end has none.
func (j *job) work() {
	for {
		task := j.next.Add(1) - 1
		if task >= j.n {
			return
		}
		j.do(int(task))
		j.left.Done()
	}
}

// split calls do for consecutive ranges that cover [0, n), in parallel if the whole costs more than starting goroutines does.
// cost is that of one element, in multiply-adds.
func (p *pool) split(n, cost int, do func(from, to int)) {
	if n == 0 {
		return
	}
	tasks := min(n, 4*p.threads, n*max(cost, 1)/minTask+1)
	p.run(tasks, func(task int) { do(n*task/tasks, n*(task+1)/tasks) })
}

// minTask is the least work of a task in multiply-adds, about 15 microseconds: several times what handing it over costs.
const minTask = 1 << 14

func (p *pool) close() { p.once.Do(func() { close(p.done) }) }
