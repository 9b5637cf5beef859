// The narrow operand as it is stored.

fn load_narrow(at: u32) -> Sum {
    return loaded(narrow[at]);
}
