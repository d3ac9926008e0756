//go:build cgo

package webgpu

/*
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Calls of wgpu-native that the Go binding lacks (error scopes) or makes in a way that is not safe (members left undefined; a
// callback that outlives the call, with a pointer into Go's heap). The binding links the library; these declarations repeat its
// webgpu.h and wgpu.h.
extern void wgpuDevicePushErrorScope(void *device, int filter);
extern void wgpuDevicePopErrorScope(void *device, void (*callback)(int type, char const *message, void *userdata), void *userdata);
extern void wgpuBufferMapAsync(void *buffer, uint32_t mode, size_t offset, size_t size, void (*callback)(int status, void *userdata), void *userdata);

extern void *wgpuCreateInstance(void const *descriptor);

typedef struct chained { struct chained const *next; int type; } chained;

typedef struct {
	chained chain;
	uint32_t backends, flags;
	int dx12_compiler, gles3_minor_version;
	char const *dxil_path, *dxc_path;
} instance_extras;

// Every back end but OpenGL, which is slower where it works and noisy where it does not. The binding's own call leaves members
// of this struct undefined, and the library checks them.
static void *create_instance(void) {
	instance_extras extras = {.chain = {.type = 0x00030006}, .backends = 1 << 0 | 1 << 2 | 1 << 3};
	chained const *descriptor = &extras.chain;
	return wgpuCreateInstance(&descriptor);
}

enum { FILTERS = 2 }; // validation, out of memory: the library knows no others

typedef struct { char text[2048]; } message;

static void note_error(int type, char const *text, void *userdata) {
	message *m = userdata;
	if (type == 0 || m->text[0] != 0) return; // no error, or not the first
	strncpy(m->text, text != NULL && text[0] != 0 ? text : "error without a message", sizeof m->text - 1);
}

static void push_scopes(void *device) {
	for (int filter = 0; filter < FILTERS; filter++) wgpuDevicePushErrorScope(device, filter);
}

static void pop_scopes(void *device, message *m) {
	for (int filter = 0; filter < FILTERS; filter++) wgpuDevicePopErrorScope(device, note_error, m);
}

// A map's outcome, set once by whatever thread polls: 0 while pending, else the status plus 1.
static void note_mapped(int status, void *userdata) { __atomic_store_n((int *)userdata, status + 1, __ATOMIC_RELEASE); }

static void map_buffer(void *buffer, uint32_t mode, size_t size, int *outcome) { wgpuBufferMapAsync(buffer, mode, 0, size, note_mapped, outcome); }

static int map_outcome(int *outcome) { return __atomic_load_n(outcome, __ATOMIC_ACQUIRE); }
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"github.com/cogentcore/webgpu/wgpu"
)

// The binding's handles are structs that begin with C pointers which it does not export: Instance{ref}, Device{ref} and
// Buffer{deviceRef, ref}.

func deviceRef(d *wgpu.Device) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(d)) }

func bufferRef(b *wgpu.Buffer) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(b))[1] }

// instance is the process's entry to the library. It is never released: a driver that is unloaded and loaded again with every
// device fails after a dozen times.
var instance = sync.OnceValue(func() *wgpu.Instance {
	wgpu.SetLogLevel(wgpu.LogLevelOff)
	// Mesa's layer that prefers one adapter asks a Wayland compositor, and prints an error where there is none. Here the
	// adapter is chosen by the caller.
	if _, set := os.LookupEnv("NODEVICE_SELECT"); !set {
		_ = os.Setenv("NODEVICE_SELECT", "1")
	}
	i := new(wgpu.Instance)
	*(*unsafe.Pointer)(unsafe.Pointer(i)) = C.create_instance()
	return i
})

// guard runs f and returns its error, or else what the native library reported meanwhile, out of memory included, or a panic of
// the binding. Without it such a report would end the process. The caller holds the device's lock, because the library keeps
// one stack of error scopes per device.
func guard(d *wgpu.Device, f func() error) (err error) {
	ref := deviceRef(d)
	C.push_scopes(ref)
	defer func() {
		var m C.message
		C.pop_scopes(ref, &m)
		if text := C.GoString(&m.text[0]); text != "" {
			if err == nil {
				err = errors.New(text)
			}
		}
		if err != nil {
			err = tidy(err)
		}
	}()
	defer recovered(&err)
	return f()
}

// recovered turns a panic of the binding into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("webgpu: %v", r)
	}
}

// tidy joins the lines of the native library's messages.
func tidy(err error) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return errors.New(strings.Join(strings.Fields(text), " "))
	}
	return err
}

// mapping is a request to map the beginning of a buffer.
type mapping struct{ outcome *C.int }

// mapBuffer asks for the first size bytes of b. The library writes to the result until it is done.
func mapBuffer(b *wgpu.Buffer, mode wgpu.MapMode, size int) mapping {
	m := mapping{outcome: (*C.int)(C.calloc(1, C.size_t(unsafe.Sizeof(C.int(0)))))}
	C.map_buffer(bufferRef(b), C.uint32_t(mode), C.size_t(size), m.outcome)
	return m
}

// done reports whether the mapping has an outcome.
func (m mapping) done() bool { return C.map_outcome(m.outcome) != 0 }

// result returns the outcome of a mapping that is done, and frees it.
func (m mapping) result() error {
	status := C.map_outcome(m.outcome) - 1
	C.free(unsafe.Pointer(m.outcome))
	if status != 0 {
		return fmt.Errorf("mapping a buffer: %v", wgpu.BufferMapAsyncStatus(status))
	}
	return nil
}
