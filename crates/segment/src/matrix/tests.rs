use super::*;

fn group(id: u16, name: &str, addresses: &[&str], prefixes: &[&str]) -> Group {
    Group {
        id: GroupId(id),
        name: name.to_owned(),
        entity: name.into(),
        criticality: Criticality::Clinical,
        prefixes: prefixes
            .iter()
            .map(|p| p.parse().expect("a prefix"))
            .collect(),
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect(),
        macs: Vec::new(),
    }
}

fn service(ports: RangeInclusive<u16>) -> Service {
    Service {
        transport: Transport::Tcp,
        ports,
        name: "DICOM".into(),
        clinical: Some("Imaging".into()),
    }
}

fn sample() -> Matrix {
    Matrix {
        groups: vec![
            group(0, "Unknown", &[], &[]),
            group(1, "CT scanners", &["10.0.0.1"], &["10.1.0.0/16"]),
            group(2, "PACS", &["10.1.0.9"], &[]),
        ],
        cells: vec![Cell {
            from: GroupId(1),
            to: GroupId(2),
            services: vec![service(104..=104), service(11_112..=11_113)],
            mode: Mode::Enforce,
        }],
        default_mode: Mode::Observe,
        digest: [7; 32],
    }
}

fn judge(matrix: &Matrix, client: &str, server: &str, port: u16) -> Outcome {
    matrix
        .judges(&Probe {
            client: client.parse().expect("an address"),
            server: server.parse().expect("an address"),
            transport: Transport::Tcp,
            port,
        })
        .outcome
}

#[test]
fn a_cell_permits_its_ports_and_drops_the_others() {
    let matrix = sample();
    matrix.check().expect("sound");
    assert_eq!(judge(&matrix, "10.0.0.1", "10.1.0.9", 104), Outcome::Permit);
    assert_eq!(
        judge(&matrix, "10.1.7.7", "10.1.0.9", 11_113),
        Outcome::Permit
    );
    assert_eq!(
        judge(&matrix, "10.1.7.7", "10.1.0.9", 11_114),
        Outcome::Drop
    );
    assert_eq!(
        judge(&matrix, "10.1.0.9", "10.0.0.1", 104),
        Outcome::WouldDrop
    );
    assert_eq!(
        judge(&matrix, "8.8.8.8", "10.1.0.9", 104),
        Outcome::WouldDrop
    );
}

#[test]
fn an_address_counts_before_a_prefix() {
    let matrix = sample();
    let directory = matrix.directory();
    for (address, group) in [
        ("10.1.0.9", 2),
        ("10.1.0.8", 1),
        ("10.0.0.1", 1),
        ("::1", 0),
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(matrix.group_of(address), GroupId(group));
        assert_eq!(directory.group_of(address), GroupId(group));
    }
}

#[test]
fn overlapping_groups_and_services_are_found() {
    let mut matrix = sample();
    matrix.groups[2].addresses = matrix.groups[1].addresses.clone();
    assert!(matches!(matrix.check(), Err(MatrixError::Overlap(..))));
    let mut matrix = sample();
    matrix.cells[0].services[1].ports = 100..=105;
    assert_eq!(matrix.check(), Err(MatrixError::Services(1, 2)));
}

#[test]
fn a_trial_lies_on_its_own_matrix_only() {
    let matrix = sample();
    let mut trial = Overlay {
        base: matrix.digest,
        cells: vec![(GroupId(2), GroupId(1), Mode::Enforce)],
        until: Timestamp::from_millis(0),
    };
    let tried = trial.over(&matrix).expect("its own");
    assert_eq!(judge(&tried, "10.1.0.9", "10.0.0.1", 104), Outcome::Drop);
    tried.check().expect("sound");
    trial.base = [0; 32];
    assert_eq!(trial.over(&matrix), Err(OverlayError::OtherBase));
}
