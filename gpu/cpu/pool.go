package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// pool spreads tasks over goroutines. The caller of each works on its own tasks too, so that jobs of several callers cannot wait
// for each other, and a job is done even if the whole pool is busy elsewhere.
//
// A token is hundreds of jobs with microseconds between them, less than waking a thread takes. So goroutines look out for the next
// job for a while before they sleep, and give way to any other goroutine meanwhile.
type pool struct {
	threads int
	jobs    chan *job
	done    chan struct{}
	once    sync.Once
}

// lookout is how long a goroutine that found no work stays awake.
const lookout = 50 * time.Microsecond

// job is n calls of do, each made once, by whoever takes the next number.
type job struct {
	do   func(task int)
	n    int64
	next atomic.Int64
	left atomic.Int64  // tasks not yet finished
	end  chan struct{} // has one element when none is left
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, jobs: make(chan *job, 2*threads), done: make(chan struct{})}
	for range threads - 1 {
		go p.serve()
	}
	return p
}

func (p *pool) serve() {
	for {
		var j *job
		await(func() bool {
			select {
			case j = <-p.jobs:
				return true
			default:
				return false
			}
		})
		if j == nil {
			select {
			case j = <-p.jobs:
			case <-p.done:
				return
			}
		}
		j.work()
	}
}

// await returns when found does so with true, or after a while.
func await(found func() bool) {
	until := time.Time{}
	for i := 1; !found(); i++ {
		if i%16 != 0 {
			pause()
			continue
		}
		runtime.Gosched()
		if now := time.Now(); until.IsZero() {
			until = now.Add(lookout)
		} else if now.After(until) {
			return
		}
	}
}

// run calls do(0) to do(n-1), each once and in no order, and returns when all have returned.
func (p *pool) run(n int, do func(task int)) {
	if n == 1 || p.threads == 1 {
		for task := range n {
			do(task)
		}
		return
	}
	j := &job{do: do, n: int64(n), end: make(chan struct{}, 1)}
	j.left.Store(int64(n))
	for range min(n, p.threads) - 1 {
		select {
		case p.jobs <- j:
		default: // enough is waiting already
		}
	}
	j.work()
	await(func() bool { return j.left.Load() == 0 })
	if j.left.Load() > 0 {
		<-j.end
	}
}

// work takes tasks until none is left to take. A job found in the queue after its end has none.
func (j *job) work() {
	for {
		task := j.next.Add(1) - 1
		if task >= j.n {
			return
		}
		j.do(int(task))
		if j.left.Add(-1) == 0 {
			j.end <- struct{}{}
		}
	}
}

// split calls do for consecutive ranges that cover [0, n), in parallel if the whole costs more than handing it over does. cost is
// that of one element, in multiply-adds of Go code, about a nanosecond each.
func (p *pool) split(n, cost int, do func(from, to int)) {
	if n == 0 {
		return
	}
	total := n * max(cost, 1)
	tasks := min(n, 4*p.threads, total/minTask)
	if total < minJob {
		tasks = 1
	}
	p.run(tasks, func(task int) { do(n*task/tasks, n*(task+1)/tasks) })
}

// minTask is the least cost of a task: about four microseconds, a few times what handing it over takes. minJob is the least that is
// shared at all: a helper that the machine has put to other work in the middle of a task costs more than is won on a smaller one.
const (
	minTask = 1 << 12
	minJob  = 1 << 14
)

func (p *pool) close() { p.once.Do(func() { close(p.done) }) }
