//! The Merkle tree of RFC 6962, section 2.1: hashes, roots, inclusion and consistency proofs.

use aws_lc_rs::digest;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    hash
}

/// The hash of a leaf whose bytes follow one byte `0x00` in `prefixed`; spares a copy on the hot path.
pub(crate) fn leaf_hash_prefixed(prefixed: &[u8]) -> Hash {
    debug_assert_eq!(prefixed.first(), Some(&0));
    sha256(prefixed)
}

/// The hash of a leaf: SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut prefixed = Vec::with_capacity(leaf.len() + 1);
    prefixed.push(0);
    prefixed.extend_from_slice(leaf);
    leaf_hash_prefixed(&prefixed)
}

/// The hash of a node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut prefixed = [1; 65];
    prefixed[1..33].copy_from_slice(left);
    prefixed[33..].copy_from_slice(right);
    sha256(&prefixed)
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The root of the perfect subtree over `hashes`, whose number is a power of two.
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        for i in 0..row.len() / 2 {
            row[i] = node_hash(&row[2 * i], &row[2 * i + 1]);
        }
        row.truncate(row.len() / 2);
    }
    row.first().copied().unwrap_or_else(empty_root)
}

/// The roots of the perfect subtrees that `hashes` decompose into, largest first.
pub(crate) fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let mut peaks = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let width = 1 << rest.len().ilog2();
        let (head, tail) = rest.split_at(width);
        peaks.push(perfect_root(head));
        rest = tail;
    }
    peaks
}

/// A source of the hashes of perfect subtrees.
pub trait Nodes {
    /// Why a hash could not be had.
    type Error;

    /// The hash over the 2^`height` leaves from `index` * 2^`height` on.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two smaller than `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

fn range_root<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let n = end - start;
    if n == 0 {
        return Ok(empty_root());
    }
    if n.is_power_of_two() {
        // INVARIANT: the splits below leave every range aligned to the power of two that is at least its length.
        return nodes.node(n.ilog2(), start / n);
    }
    let k = split(n);
    let left = range_root(nodes, start, start + k)?;
    let right = range_root(nodes, start + k, end)?;
    Ok(node_hash(&left, &right))
}

/// The root over the first `size` leaves.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    range_root(nodes, 0, size)
}

/// The audit path of leaf `index` in the tree of `size` leaves, from the leaf's sibling up. `index` lies below `size`.
pub fn inclusion<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let k = split(end - start);
        if index < start + k {
            path.push(range_root(nodes, start + k, end)?);
            end = start + k;
        } else {
            path.push(range_root(nodes, start, start + k)?);
            start += k;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof between the trees of `old` and `new` leaves; empty if they are equal or `old` is 0.
pub fn consistency<N: Nodes>(nodes: &mut N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    // Whether the old tree's root is itself what remains, so that the verifier knows it already.
    let mut known = true;
    while end != old {
        let k = split(end - start);
        if old <= start + k {
            path.push(range_root(nodes, start + k, end)?);
            end = start + k;
        } else {
            path.push(range_root(nodes, start, start + k)?);
            start += k;
            known = false;
        }
    }
    if !known {
        path.push(range_root(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree of `size` leaves with this `root` (RFC 9162, 2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut fnode, mut snode) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(step, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves continues the tree of `old` leaves (RFC 9162, 2.1.4.2).
pub fn continues(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        steps.next()
    };
    let Some(first) = first else { return false };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut from_old, mut from_new) = (*first, *first);
    for step in steps {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            from_old = node_hash(step, &from_old);
            from_new = node_hash(step, &from_new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The definition of RFC 6962, word for word: the reference that everything else is held against.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&naive(&many[..k]), &naive(&many[k..]))
            }
        }
    }

    struct InMemory(Vec<Hash>);

    impl Nodes for InMemory {
        type Error = Infallible;
        fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let width = 1 << height;
            let start = usize::try_from(index).expect("small") * width;
            Ok(perfect_root(&self.0[start..start + width]))
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The eight leaves of the test vectors that Certificate Transparency implementations share.
    fn known_leaves() -> Vec<Hash> {
        let texts = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        texts
            .iter()
            .map(|text| {
                let bytes: Vec<u8> = (0..text.len() / 2)
                    .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
                    .collect();
                leaf_hash(&bytes)
            })
            .collect()
    }

    #[test]
    fn roots_match_the_published_vectors() {
        let expected = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut nodes = InMemory(known_leaves());
        for (size, expected) in (0u64..).zip(expected) {
            let Ok(root) = root(&mut nodes, size);
            assert_eq!(hex(&root), expected, "size {size}");
        }
    }

    #[test]
    fn proofs_match_the_published_vectors() {
        let mut nodes = InMemory(known_leaves());
        let Ok(path) = inclusion(&mut nodes, 5, 8);
        let path: Vec<String> = path.iter().map(hex).collect();
        assert_eq!(
            path,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        let Ok(path) = consistency(&mut nodes, 6, 8);
        let path: Vec<String> = path.iter().map(hex).collect();
        assert_eq!(
            path,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_no_neighbour_does() {
        for size in 1..=40u64 {
            let leaves = leaves(size);
            let mut nodes = InMemory(leaves.clone());
            let whole = naive(&leaves);
            for index in 0..size {
                let Ok(path) = inclusion(&mut nodes, index, size);
                let leaf = &leaves[usize::try_from(index).expect("small")];
                assert!(includes(leaf, index, size, &path, &whole));
                assert!(!includes(leaf, index + 1, size, &path, &whole));
                assert!(!includes(&whole, index, size, &path, &whole) || size == 1);
                let mut longer = path.clone();
                longer.push(whole);
                assert!(!includes(leaf, index, size, &longer, &whole));
            }
            for old in 0..=size {
                let Ok(path) = consistency(&mut nodes, old, size);
                let before = naive(&leaves[..usize::try_from(old).expect("small")]);
                assert!(continues(old, &before, size, &whole, &path), "{old} {size}");
                if old > 0 && old < size {
                    assert!(!continues(old, &leaf_hash(b"else"), size, &whole, &path));
                    assert!(!continues(old, &before, size, &leaf_hash(b"else"), &path));
                    assert!(!continues(size, &before, old, &whole, &path));
                    for i in 0..path.len() {
                        let mut bent = path.clone();
                        bent[i][7] ^= 1;
                        assert!(!continues(old, &before, size, &whole, &bent));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn roots_and_proofs_match_the_naive_recursion(size in 1u64..3000, index: prop::sample::Index, old: prop::sample::Index) {
            let leaves = leaves(size);
            let whole = naive(&leaves);
            let mut nodes = InMemory(leaves.clone());
            let Ok(computed) = root(&mut nodes, size);
            prop_assert_eq!(computed, whole);
            let index = index.index(leaves.len());
            let Ok(path) = inclusion(&mut nodes, index as u64, size);
            prop_assert!(includes(&leaves[index], index as u64, size, &path, &whole));
            let old = old.index(leaves.len());
            let Ok(path) = consistency(&mut nodes, old as u64, size);
            prop_assert!(continues(old as u64, &naive(&leaves[..old]), size, &whole, &path));
        }

        #[test]
        fn arbitrary_proofs_never_panic(index: u64, size: u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..80), old: u64) {
            let root = leaf_hash(b"r");
            prop_assert!(!includes(&leaf_hash(b"l"), index, size, &proof, &root));
            if old != size {
                prop_assert!(!continues(old, &leaf_hash(b"o"), size, &root, &proof));
            }
        }
    }
}
