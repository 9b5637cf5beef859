//! Parameter structs that Rust and WGSL share. Compiling a shader compares the offset of every field with naga's layout.

/// Name and byte offset of a field of a block.
pub(crate) type Field<'a> = (&'a str, usize);

/// A struct within the parameters of a shader, or the whole parameter struct if the name is empty.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field<'static>],
    pub(crate) bytes: usize,
}

/// WGSL's alignment in bytes of a struct within a uniform.
pub(crate) const BLOCK_ALIGNMENT: usize = 16;

/// Names and byte offsets of all fields of consecutive blocks. A field of a named block is called `block.field`.
pub(crate) fn fields(blocks: &[Block]) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    let mut start = 0;
    for block in blocks {
        let name =
            |field: &str| if block.name.is_empty() { field.to_owned() } else { format!("{}.{field}", block.name) };
        all.extend(block.fields.iter().map(|&(field, offset)| (name(field), start + offset)));
        start += block.bytes.next_multiple_of(BLOCK_ALIGNMENT);
    }
    all
}

/// Declares a struct of 32-bit fields, in the order of the WGSL struct.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl $name {
            pub(crate) const FIELDS: &'static [$crate::kernels::params::Field<'static>] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*];
        }
    };
}
pub(crate) use params;

/// Declares the `Tiles` of a shader: the parameters that are specific to its kernel.
macro_rules! tiles {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $crate::kernels::params::params! { $(#[$doc])* $name { $($field: $type),* } }

        impl $crate::kernels::operands::TileParams for $name {
            const FIELDS: &'static [$crate::kernels::params::Field<'static>] = Self::FIELDS;
        }
    };
}
pub(crate) use tiles;

/// Appends a block, padded with zeros to the alignment of the next.
pub(crate) fn append(bytes: &mut Vec<u8>, block: &impl bytemuck::Pod) {
    bytes.extend_from_slice(bytemuck::bytes_of(block));
    bytes.resize(bytes.len().next_multiple_of(BLOCK_ALIGNMENT), 0);
}
