// Tiles of columns in the workspace: for each (group, phase) pair, tiles along the sequence of positions of all batch items.

// Positions of a tile.
const POSITIONS: u32 = 64u;

struct Tiles {
    /// First (group, phase) pair in the workspace.
    pair_first: u32,
    /// First tile of each pair in the workspace, tiles of each pair in the workspace, and rows of a tile.
    column_tile_first: u32,
    column_tiles: u32,
    depth: u32,
    /// First position and number of positions of every batch item.
    position_first: u32,
    positions: u32,
    /// Workgroups along the depth of a tile of columns, or along output rows.
    row_tiles: u32,
    /// Input positions from one output position to the next, and from one tap to the next.
    in_step: i32,
    tap_step: i32,
    /// Workgroups along the (depth, tap) pairs of a weight gradient.
    pair_tiles: u32,
}

struct Column {
    n: u32,
    position: u32,
}

/// Batch item and position of a column of a tile, where `tile` counts the tiles of a pair in the workspace.
fn column_at(tile: u32, column: u32) -> Column {
    let sequence = (params.tiles.column_tile_first + tile) * POSITIONS + column;
    return Column(sequence / params.tiles.positions, params.tiles.position_first + sequence % params.tiles.positions);
}
