package jinja

// expr is an expression of the template.
type expr interface{ eval(s *state) Value }

type (
	constant struct{ value Value }
	variable struct {
		name string
		line int
	}
	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct {
		keys, values []expr
		line         int
	}
	condExpr struct {
		test, then, otherwise expr // otherwise may be nil
		line                  int
	}
	logicExpr struct { // and, or
		and         bool
		left, right expr
	}
	notExpr   struct{ x expr }
	unaryExpr struct {
		op   string
		x    expr
		line int
	}
	binaryExpr struct {
		op          string
		left, right expr
		line        int
	}
	compareExpr struct {
		first expr
		ops   []string
		rest  []expr
		line  int
	}
	concatExpr struct{ items []expr }
	attrExpr   struct {
		x    expr
		name string
		line int
	}
	itemExpr struct {
		x, key expr
		line   int
	}
	sliceExpr struct {
		x             expr
		low, high, by expr // nil where left out
		line          int
	}
	callExpr struct {
		f    expr
		args arguments
		line int
	}
	filterExpr struct {
		x    expr // nil in a filter block: the block's text
		name string
		args arguments
		line int
	}
	testExpr struct {
		x      expr
		name   string
		args   arguments
		negate bool
		line   int
	}
)

// arguments are those of a call, before evaluation.
type arguments struct {
	positional   []expr
	names        []string
	named        []expr
	star, double expr // *x and **x, nil where absent
}

// node is a statement of the template.
type node interface{ exec(s *state) flow }

// flow tells how a statement ended.
type flow uint8

const (
	next flow = iota
	breaking
	continuing
)

type (
	textNode  struct{ text string }
	printNode struct {
		x    expr
		line int
	}
	ifNode struct {
		tests     []expr
		bodies    [][]node
		otherwise []node
	}
	forNode struct {
		target          target
		iter            expr
		filter          expr // nil: all
		recursive       bool
		body, otherwise []node
		line            int
	}
	setNode struct {
		target target
		value  expr
		line   int
	}
	setBlockNode struct {
		target  target
		body    []node
		filters []*filterExpr
		line    int
	}
	macroNode struct {
		name     string
		params   []string
		defaults []expr // of the last len(defaults) params
		body     []node
		varargs  bool // the body asks for varargs, kwargs, caller
		kwargs   bool
		caller   bool
		line     int
	}
	callNode struct {
		call *callExpr
		body *macroNode // its parameters are the call tag's
		line int
	}
	filterNode struct {
		filters []*filterExpr
		body    []node
	}
	withNode struct {
		targets []target
		values  []expr
		body    []node
		line    int
	}
	scopeNode struct{ body []node } // a block with its own variables
	jumpNode  struct{ to flow }
)

// target is what can be assigned to: a name, an attribute of a namespace, or several targets.
type target struct {
	name  string
	attr  string
	items []target
	line  int
}
