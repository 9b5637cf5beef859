// Nobody needs the gradient with respect to `a`.

fn store_a_gradient(i: u32, dz: Sum) {}
