package plan

import (
	"cmp"
	"slices"
)

// load is a holder's part of a layer.
type load struct {
	experts int     // of the layer, that it is to answer for
	call    Time    // of a message, whatever it asks for
	slot    Time    // of each expert asked for
	late    float64 // how much longer one answer in twenty takes, in seconds
	message bool    // it is asked by a message
}

// onTime is the share of answers that are not late.
const onTime = .95

// moment is a time at which a holder may be done: with slots experts to run, on time or late.
type moment struct {
	at     float64
	holder int
	slots  int
	late   bool
}

// slowest is the expected time until all holders have answered that a token needs, which are those of the top-k experts drawn
// without replacement from all of the layer, and for each holder how much of it is waiting for that holder.
//
// Holder i answers for n_i experts. It gets j of the draw in C(n_i, j) ways, and is done by time t with probability F_i(j, t).
// So all are done by t with the probability that the coefficient of x^k in the product over i of sum_j C(n_i, j) F_i(j, t) x^j
// has of C(sum of n_i, k). F changes only at the moments at which some holder may be done.
func slowest(loads []load, topK int) (expected Time, byHolder []float64) {
	all := 0
	for _, l := range loads {
		all += l.experts
	}
	byHolder = make([]float64, len(loads))
	ways := make([][]float64, len(loads)) // [holder][slots] C(n, j) / all^j
	done := make([][]float64, len(loads)) // [holder][slots] of that, done by now
	var moments []moment
	for i, l := range loads {
		most := min(l.experts, topK)
		ways[i], done[i] = make([]float64, most+1), make([]float64, most+1)
		ways[i][0], done[i][0] = 1, 1
		base, each := l.call.Total(), l.slot.Total()
		for j := 1; j <= most; j++ {
			ways[i][j] = ways[i][j-1] * float64(l.experts-j+1) / float64(j) / float64(all)
			at := base + float64(j)*each
			moments = append(moments, moment{at, i, j, false})
			if l.late > 0 {
				moments = append(moments, moment{at + l.late, i, j, true})
			}
		}
	}
	slices.SortFunc(moments, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.holder, b.holder), cmp.Compare(a.slots, b.slots))
	})
	total := coefficient(ways, topK)
	if total == 0 {
		return expected, byHolder
	}
	before := 0.0
	for i, m := range moments {
		share := 1.0
		if !m.late && loads[m.holder].late > 0 {
			share = onTime
		}
		done[m.holder][m.slots] = share * ways[m.holder][m.slots]
		if i+1 < len(moments) && moments[i+1].at == m.at {
			continue
		}
		now := min(coefficient(done, topK)/total, 1)
		if p := now - before; p > 0 {
			expected.add(p, loads[m.holder].call)
			expected.add(p*float64(m.slots), loads[m.holder].slot)
			if m.late {
				expected.Late += p * loads[m.holder].late
			}
			byHolder[m.holder] += p * m.at
			before = now
		}
	}
	return expected, byHolder
}

// coefficient is that of x^k in the product of polynomials.
func coefficient(polynomials [][]float64, k int) float64 {
	product := make([]float64, k+1)
	product[0] = 1
	degree := 0
	for _, p := range polynomials {
		most := min(degree+len(p)-1, k)
		for d := most; d >= 0; d-- {
			sum := 0.0
			for j := max(0, d-degree); j < len(p) && j <= d; j++ {
				sum += p[j] * product[d-j]
			}
			product[d] = sum
		}
		degree = most
	}
	return product[k]
}

// asked is the probability that at least one of n experts is among the top-k of all.
func asked(n, all, topK int) float64 {
	none := 1.0
	for j := range topK {
		none *= float64(max(all-n-j, 0)) / float64(all-j)
	}
	return 1 - none
}

// distinct is the expected number of messages of a layer.
func distinct(loads []load, all, topK int) float64 {
	n := 0.0
	for _, l := range loads {
		if l.message {
			n += asked(l.experts, all, topK)
		}
	}
	return n
}
