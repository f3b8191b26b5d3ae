use providers::{Overrides, Provider};

#[test]
fn every_folder_compiles_and_survives_packing() {
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        let packed = provider.to_packed();
        let opened = Provider::from_packed(&packed).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(opened.to_packed(), packed, "{name}");
    }
}
