//! What operators are told, problem by problem.

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

const EXAMPLE: &str = include_str!("../../../gateway.yaml");

#[test]
fn the_example_loads_without_a_warning() {
    let loaded = parse(EXAMPLE, "gateway.yaml", Path::new("/srv"), &nothing)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
}
