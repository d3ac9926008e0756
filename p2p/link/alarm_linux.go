package link

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps, to some 50 µs on an idle machine. A Go timer in a process that is otherwise idle is up to a
// millisecond late, because the runtime then sleeps in epoll_wait, which counts in milliseconds; a timerfd wakes it in time.
type alarm struct {
	file *os.File // nil: none could be had
	fd   int
	buf  [8]byte
}

func newAlarm() *alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return &alarm{}
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd}
}

func (a *alarm) sleep(d time.Duration) {
	if a.file != nil {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
		if unix.TimerfdSettime(a.fd, 0, &spec, nil) == nil {
			if _, err := a.file.Read(a.buf[:]); err == nil {
				return
			}
		}
	}
	time.Sleep(d)
}

func (a *alarm) close() {
	if a.file != nil {
		_ = a.file.Close()
	}
}
