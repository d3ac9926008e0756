package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// features writes what golang.org/x/sys/cpu does not tell.
func features() {
	TEXT("cpuid1", NOSPLIT, "func() (c uint32)")
	Doc("cpuid1 returns register ECX of CPUID's leaf 1.")
	MOVL(imm(1), EAX)
	XORL(ECX, ECX)
	CPUID()
	Store(ECX, ReturnIndex(0))
	RET()

	TEXT("pause", NOSPLIT, "func()")
	Doc("pause tells the core that it is spinning.")
	for range 8 {
		PAUSE()
	}
	RET()
}
