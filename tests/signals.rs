//! `convolve`, `correlate` and `autocorrelate`, against their definitions and SciPy's results.

use crate::harness::{gpu, values};
use conv1d::{ConvolveMode, Error, Tensor};

const MODES: [ConvolveMode; 3] = [ConvolveMode::Full, ConvolveMode::Same, ConvolveMode::Valid];

/// `sum over i of x[i] * v[m - i]` for all `m`.
fn full(x: &[f32], v: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; x.len() + v.len() - 1];
    for (i, &a) in x.iter().enumerate() {
        for (k, &b) in v.iter().enumerate() {
            y[i + k] += f64::from(a) * f64::from(b);
        }
    }
    y
}

/// The part of a full result that a mode returns.
fn part(full: &[f64], n: usize, m: usize, mode: ConvolveMode) -> Vec<f64> {
    let (first, length) = match mode {
        ConvolveMode::Full => (0, full.len()),
        ConvolveMode::Same => ((full.len() - n) / 2, n),
        ConvolveMode::Valid => (n.min(m) - 1, n.abs_diff(m) + 1),
    };
    full[first..first + length].to_vec()
}

fn tensor(values: &[f32]) -> Tensor {
    gpu().tensor(values, [values.len()]).unwrap()
}

fn assert_close(got: &Tensor, expected: &[f64], what: &str) {
    let values = got.read().unwrap();
    assert_eq!(got.shape().last(), Some(&expected.len()), "{what}");
    for (index, (g, e)) in values.iter().zip(expected).enumerate() {
        // At most 20 terms of products below 1.
        assert!((f64::from(*g) - e).abs() <= conv1d::reference::gamma(21) * 20.0, "{what}[{index}]: {g}, expected {e}");
    }
}

/// Empty tensors with rows so long that the length of the result overflows.
#[test]
fn absurd_lengths_are_refused() {
    let (x, v) = (gpu().tensor(&[], [0, usize::MAX]).unwrap(), gpu().tensor(&[1.0, 2.0], [2]).unwrap());
    let too_large = |result: conv1d::Result<Tensor>| {
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    };
    too_large(gpu().convolve(&x, &v, ConvolveMode::Full));
    too_large(gpu().correlate(&x, &v, ConvolveMode::Full));
    too_large(gpu().autocorrelate(&x, ConvolveMode::Full));
}

/// `scipy.signal.convolve` and `correlate` of [1, 2, 3] and [0, 1, 0.5].
#[test]
fn answers_of_scipy() {
    let (x, v) = (tensor(&[1.0, 2.0, 3.0]), tensor(&[0.0, 1.0, 0.5]));
    let read = |t: conv1d::Result<Tensor>| t.unwrap().read().unwrap();
    assert_eq!(read(gpu().convolve(&x, &v, ConvolveMode::Full)), [0.0, 1.0, 2.5, 4.0, 1.5]);
    assert_eq!(read(gpu().convolve(&x, &v, ConvolveMode::Same)), [1.0, 2.5, 4.0]);
    assert_eq!(read(gpu().convolve(&x, &v, ConvolveMode::Valid)), [2.5]);
    assert_eq!(read(gpu().correlate(&x, &v, ConvolveMode::Full)), [0.5, 2.0, 3.5, 3.0, 0.0]);
    assert_eq!(read(gpu().correlate(&x, &v, ConvolveMode::Same)), [2.0, 3.5, 3.0]);
    assert_eq!(read(gpu().correlate(&x, &v, ConvolveMode::Valid)), [3.5]);
    assert_eq!(read(gpu().autocorrelate(&x, ConvolveMode::Full)), [3.0, 8.0, 14.0, 8.0, 3.0]);
}

#[test]
fn all_modes_and_lengths() {
    for n in [1, 2, 3, 8, 20] {
        for m in [1, 2, 3, 7, 20] {
            let (x, v) = (values(n as u64, n), values(m as u64 + 50, m));
            let reversed: Vec<f32> = v.iter().rev().copied().collect();
            for mode in MODES {
                let what = format!("{n} and {m}, {mode:?}");
                let expected = part(&full(&x, &v), n, m, mode);
                assert_close(&gpu().convolve(&tensor(&x), &tensor(&v), mode).unwrap(), &expected, &what);
                let expected = part(&full(&x, &reversed), n, m, mode);
                assert_close(&gpu().correlate(&tensor(&x), &tensor(&v), mode).unwrap(), &expected, &what);
            }
        }
    }
}

/// Every row of a batch, with one kernel or with itself.
#[test]
fn rows_of_a_batch() {
    let (x, v) = (values(1, 2 * 3 * 12), values(2, 5));
    let batch = gpu().tensor(&x, [2, 3, 12]).unwrap();
    for mode in MODES {
        let convolved = gpu().convolve(&batch, &tensor(&v), mode).unwrap();
        let expected: Vec<f64> = x.chunks(12).flat_map(|row| part(&full(row, &v), 12, 5, mode)).collect();
        assert_eq!(convolved.shape()[..2], [2, 3]);
        assert_close(&convolved.reshape([expected.len()]).unwrap(), &expected, "convolve");
        let itself = gpu().autocorrelate(&batch, mode).unwrap();
        let own = |row: &[f32]| part(&full(row, &row.iter().rev().copied().collect::<Vec<_>>()), 12, 12, mode);
        let expected: Vec<f64> = x.chunks(12).flat_map(own).collect();
        assert_close(&itself.reshape([expected.len()]).unwrap(), &expected, "autocorrelate");
        // The kernel is longer than the rows: the arguments are swapped.
        let long = values(3, 17);
        let swapped = gpu().convolve(&batch, &tensor(&long), mode).unwrap();
        let expected: Vec<f64> = x.chunks(12).flat_map(|row| part(&full(row, &long), 12, 17, mode)).collect();
        assert_close(&swapped.reshape([expected.len()]).unwrap(), &expected, "longer kernel");
    }
}

/// All axes but the last broadcast: one signal with many kernels, many signals with one kernel, and every order of axes.
#[test]
fn rows_broadcast_as_in_numpy() {
    let shapes: [(&[usize], &[usize]); 12] = [
        (&[], &[4]),
        (&[4], &[]),
        (&[4], &[4]),
        (&[1], &[4]),
        (&[3, 1], &[4]),
        (&[4], &[3, 1]),
        (&[3, 1], &[1, 4]),
        (&[2, 3, 1], &[3, 4]),
        (&[1, 3, 4], &[2, 3, 1]),
        (&[2, 1, 3], &[4, 1]),
        (&[2, 1, 3, 1], &[4, 1, 2]),
        (&[], &[]),
    ];
    for (first, second) in shapes {
        for (n, m) in [(7, 4), (4, 7), (1, 5), (6, 6)] {
            let shape = |rows: &[usize], length| [rows, &[length]].concat();
            let (x_shape, v_shape) = (shape(first, n), shape(second, m));
            let (x, v) = (values(1, x_shape.iter().product()), values(2, v_shape.iter().product()));
            let (a, b) = (gpu().tensor(&x, &x_shape).unwrap(), gpu().tensor(&v, &v_shape).unwrap());
            let rank = first.len().max(second.len());
            let size = |rows: &[usize], axis: usize| rows.len().checked_sub(axis).map_or(1, |at| rows[at]);
            let rows: Vec<usize> = (1..=rank).rev().map(|axis| size(first, axis).max(size(second, axis))).collect();
            // The row of a tensor that meets the row of the result.
            let row_of = |own: &[usize], index: usize| {
                let (mut rest, mut row, mut stride) = (index, 0, 1);
                for axis in 1..=rank {
                    let all = size(&rows, axis);
                    row += (rest % all % size(own, axis)) * stride;
                    (rest, stride) = (rest / all, stride * size(own, axis));
                }
                row
            };
            for mode in MODES {
                let pair = |index: usize| {
                    let (i, j) = (row_of(first, index), row_of(second, index));
                    (x[i * n..][..n].to_vec(), v[j * m..][..m].to_vec())
                };
                let count: usize = rows.iter().product();
                let what = format!("{x_shape:?} with {v_shape:?}, {mode:?}");
                let convolved: Vec<f64> = (0..count)
                    .flat_map(|index| {
                        let (x, v) = pair(index);
                        part(&full(&x, &v), n, m, mode)
                    })
                    .collect();
                let got = gpu().convolve(&a, &b, mode).unwrap();
                assert_eq!(got.shape()[..rank], rows, "{what}");
                assert_close(&got.reshape([convolved.len()]).unwrap(), &convolved, &what);
                let correlated: Vec<f64> = (0..count)
                    .flat_map(|index| {
                        let (x, mut v) = pair(index);
                        v.reverse();
                        part(&full(&x, &v), n, m, mode)
                    })
                    .collect();
                let got = gpu().correlate(&a, &b, mode).unwrap();
                assert_eq!(got.shape()[..rank], rows, "{what}");
                assert_close(&got.reshape([correlated.len()]).unwrap(), &correlated, &what);
            }
        }
    }
}

#[test]
fn no_rows_and_wrong_shapes() {
    let none = gpu().zeros([0, 9]).unwrap();
    let v = tensor(&[1.0, 2.0]);
    assert_eq!(gpu().convolve(&none, &v, ConvolveMode::Full).unwrap().shape(), [0, 10]);
    assert_eq!(gpu().correlate(&none, &v, ConvolveMode::Valid).unwrap().shape(), [0, 8]);
    assert_eq!(gpu().autocorrelate(&none, ConvolveMode::Same).unwrap().shape(), [0, 9]);
    assert!(gpu().convolve(&gpu().zeros([3, 0]).unwrap(), &v, ConvolveMode::Full).is_err());
    let error = gpu().convolve(&gpu().zeros([3, 2]).unwrap(), &gpu().zeros([2, 2]).unwrap(), ConvolveMode::Full);
    let expected = Error::Broadcast { first: vec![3, 2], second: vec![2, 2], axis: 2, sizes: [3, 2] };
    assert_eq!(error.unwrap_err(), expected);
    assert_eq!(gpu().convolve(&gpu().zeros([0, 1, 3]).unwrap(), &v, ConvolveMode::Full).unwrap().shape(), [0, 1, 4]);
    assert!(gpu().autocorrelate(&gpu().zeros([0_usize; 0]).unwrap(), ConvolveMode::Full).is_err());
}
