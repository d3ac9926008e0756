// Package archtest holds the tests of the project's structure: which package may import which. It has no code of its own.
package archtest
