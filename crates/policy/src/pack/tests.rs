use super::*;

#[test]
fn the_built_in_pack_compiles_and_nothing_in_it_needs_cedar_to_evaluate() {
    let pack = match PolicyPack::compile(hospital::source()) {
        Ok(pack) => pack,
        Err(e) => panic!("{e}"),
    };
    assert!(pack.policy_count() > 50);
    assert_eq!(pack.engine().uncompiled(), 0);
    assert_eq!(pack.hash().len(), 64);
}
