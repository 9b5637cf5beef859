// The narrow operand as stored.

fn load_narrow(at: u32) -> Sum {
    return loaded(narrow[at]);
}
