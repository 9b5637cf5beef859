// Long sums of single numbers: `sum_terms` with one sum.
// use: sum_terms

alias Term = Sum;
