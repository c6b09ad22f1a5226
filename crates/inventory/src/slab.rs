//! Values under small numbers that stay theirs until removed, in chunks, so that growing never copies or doubles.

const CHUNK: usize = 256;

/// Values by number. Numbers of removed values are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(number) = self.free.pop() {
            let n = number as usize;
            self.chunks[n / CHUNK][n % CHUNK] = Some(value);
            return number;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("pushed above if absent");
        chunk.push(Some(value));
        u32::try_from(before + chunk.len() - 1).expect("callers bound their number far below")
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let n = number as usize;
        let value = self.chunks.get_mut(n / CHUNK)?.get_mut(n % CHUNK)?.take()?;
        self.free.push(number);
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let n = number as usize;
        self.chunks.get(n / CHUNK)?.get(n % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let n = number as usize;
        self.chunks.get_mut(n / CHUNK)?.get_mut(n % CHUNK)?.as_mut()
    }

    /// Octets that the values and the places left free take.
    pub(crate) fn octets(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Option<T>>() + self.free.capacity() * 4
    }

    /// Every value with its number, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks
            .iter()
            .flatten()
            .zip(0_u32..)
            .filter_map(|(value, number)| Some((number, value.as_ref()?)))
    }

    /// Every value with its number, by number, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.chunks
            .iter_mut()
            .flatten()
            .zip(0_u32..)
            .filter_map(|(value, number)| Some((number, value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_its_value_s_until_removed() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..1000).map(|n| slab.insert(n)).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<u32>>());
        assert_eq!(slab.remove(300), Some(300));
        assert_eq!((slab.get(300), slab.len()), (None, 999));
        assert_eq!(slab.remove(300), None);
        assert_eq!(slab.insert(7), 300);
        assert_eq!(slab.get(300), Some(&7));
        assert_eq!(slab.iter().count(), 1000);
        assert_eq!(slab.get(u32::MAX), None);
    }
}
