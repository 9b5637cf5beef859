// Moments from deviations from an estimate of the mean. The deviations from the mean itself sum to zero; those from the
// estimate correct it (Chan, Golub, LeVeque: Algorithms for Computing the Sample Variance, 1983).

/// Sum of deviations, and of their squares.
alias Term = vec2<Sum>;

/// Deviations are from this number.
var<private> centre: Sum;

/// The mean, from the sums over `count` elements.
fn corrected_mean(sums: Term, count: Sum) -> Sum {
    return centre + sums.x / count;
}

/// The sum of squared deviations from the mean. Rounding may leave less than zero of it.
fn corrected_squares(sums: Term, count: Sum) -> Sum {
    let squares = sums.y - sums.x * sums.x / count;
    return select(squares, 0.0, squares < 0.0);
}
