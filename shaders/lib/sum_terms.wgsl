// A long sum of one invocation, in blocks of terms and in blocks of blocks. Each block starts from zero, so that a small term is not added
// to a large sum.
//
// The chain of n terms, the most additions that a term passes through, is min(n, 128) + min(b, 128) + ceil(b / 128) with
// b = ceil(n / 128).
//
// The shader that uses this part defines `Term`, the type of the sum (Sum, or a vector of sums side by side), and `add_term(i, sum)`,
// which adds term i.

// Terms of a block, and blocks of a block of blocks.
const BLOCK: u32 = 128u;

/// The sum of the terms `first`, `first + step`, and so on before `end`.
fn sum_terms(first: u32, end: u32, step: u32) -> Term {
    let block = BLOCK * step;
    let outer = BLOCK * block;
    var total = Term();
    for (var i = first; i < end; i += outer) {
        let outer_end = min(i + outer, end);
        var blocks = Term();
        for (var j = i; j < outer_end; j += block) {
            let block_end = min(j + block, outer_end);
            var sum = Term();
            for (var k = j; k < block_end; k += step) {
                sum = add_term(k, sum);
            }
            blocks += sum;
        }
        total += blocks;
    }
    return total;
}
