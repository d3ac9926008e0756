//go:build cgo

package webgpu

/*
#include <dlfcn.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>

// WebGPU hides how much memory a device has, and its native library takes the machine's own memory when the device's is used
// up. So Vulkan is asked. Declarations repeat the part of vulkan_core.h that is needed.
typedef struct { int type; void const *next; uint32_t flags; void const *application; uint32_t layers; void const *layer_names; uint32_t extensions; void const *extension_names; } instance_info;
typedef struct { uint32_t api, driver, vendor, device; int kind; char name[256]; uint64_t rest[128]; } device_properties;
typedef struct { uint32_t types; struct { uint32_t flags, heap; } type[32]; uint32_t heaps; struct { uint64_t size; uint32_t flags; } heap[16]; } memory_properties;

// device_memory returns the size of the largest device-local heap of the device of that name, 0 if there is none.
static uint64_t device_memory(char const *name) {
	uint64_t size = 0;
	void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) return 0;
	int (*create)(instance_info const *, void const *, void **) = (int (*)(instance_info const *, void const *, void **))dlsym(library, "vkCreateInstance");
	void (*destroy)(void *, void const *) = (void (*)(void *, void const *))dlsym(library, "vkDestroyInstance");
	int (*enumerate)(void *, uint32_t *, void **) = (int (*)(void *, uint32_t *, void **))dlsym(library, "vkEnumeratePhysicalDevices");
	void (*properties)(void *, device_properties *) = (void (*)(void *, device_properties *))dlsym(library, "vkGetPhysicalDeviceProperties");
	void (*memory)(void *, memory_properties *) = (void (*)(void *, memory_properties *))dlsym(library, "vkGetPhysicalDeviceMemoryProperties");
	instance_info info = {.type = 1};
	void *instance = NULL, *devices[64];
	uint32_t count = 64;
	if (create && destroy && enumerate && properties && memory && create(&info, NULL, &instance) == 0) {
		if (enumerate(instance, &count, devices) < 0) count = 0;
		for (uint32_t i = 0; i < count; i++) {
			device_properties p;
			memory_properties m;
			properties(devices[i], &p);
			if (strncmp(p.name, name, sizeof p.name) != 0) continue;
			memory(devices[i], &m);
			for (uint32_t h = 0; h < m.heaps && h < 16; h++)
				if ((m.heap[h].flags & 1) != 0 && m.heap[h].size > size) size = m.heap[h].size;
		}
		destroy(instance, NULL);
	}
	return size;
}
*/
import "C"

import (
	"math"
	"unsafe"
)

// deviceMemory is the memory in bytes of the device that an adapter names, 0 where unknown.
func deviceMemory(a Adapter) int64 {
	if a.Backend != "vulkan" || a.Kind == "software" {
		return 0
	}
	name := C.CString(a.Name)
	defer C.free(unsafe.Pointer(name))
	return int64(min(uint64(C.device_memory(name)), math.MaxInt64))
}
