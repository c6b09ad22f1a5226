//! An AuthZEN request: read without panic, answered in form, the same each time.

use std::sync::LazyLock;

use domain::Timestamp;
use policy::{PolicyPack, Snapshot, authzen};

static WORLD: LazyLock<Snapshot> = LazyLock::new(|| Snapshot::new(PolicyPack::hospital()));

/// The body of the target.
pub fn run(data: &[u8]) {
    let Ok(request) = authzen::parse(data) else {
        return;
    };
    let now = Timestamp::from_millis(1_795_000_000_000);
    let ask = || authzen::evaluate(&WORLD, &request, now);
    match ask() {
        Err(mistake) => {
            let told = mistake.to_string();
            assert!(
                !told.contains("struct ") && !told.contains("enum "),
                "{told}"
            );
        }
        Ok(answer) => {
            let alone = std::slice::from_ref(&answer);
            let all = answer["evaluations"]
                .as_array()
                .map_or(alone, Vec::as_slice);
            for one in all {
                let permits = one["context"]["outcome"] == "permit";
                assert_eq!(one["decision"], permits);
                assert!(one["context"]["alarms"].is_null(), "{one}");
            }
            assert_eq!(ask().as_ref(), Ok(&answer));
        }
    }
}
