//! How far somebody gets who holds a device: over the cells of a matrix, hop by hop.

use std::collections::{HashMap, HashSet};

use domain::DeviceId;

use crate::matrix::{GroupId, Matrix, Mode, Service};
use crate::plan::Plan;

/// Devices and the cells between their groups.
pub struct Network<'a> {
    matrix: &'a Matrix,
    /// Devices of each group.
    members: Vec<Vec<usize>>,
    group_of: Vec<GroupId>,
    index: HashMap<DeviceId, usize>,
}

impl<'a> Network<'a> {
    /// The devices of a plan within its matrix.
    pub fn of(plan: &Plan, matrix: &'a Matrix) -> Self {
        let by_entity: HashMap<&str, GroupId> = matrix
            .groups
            .iter()
            .map(|g| (g.entity.as_str(), g.id))
            .collect();
        let mut members = vec![Vec::new(); matrix.groups.len()];
        let mut group_of = Vec::with_capacity(plan.devices.len());
        let mut index = HashMap::with_capacity(plan.devices.len());
        for (n, device) in plan.devices.iter().enumerate() {
            let group = by_entity
                .get(device.entity().as_str())
                .or_else(|| by_entity.get(device.group.as_str()))
                .copied()
                .unwrap_or(GroupId::UNKNOWN);
            if let Some(members) = members.get_mut(usize::from(group.0)) {
                members.push(n);
            }
            group_of.push(group);
            index.insert(device.id.clone(), n);
        }
        Self {
            matrix,
            members,
            group_of,
            index,
        }
    }

    /// A device's place in the plan.
    pub fn find(&self, id: &DeviceId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// A device's group.
    pub fn group_of(&self, device: usize) -> Option<GroupId> {
        self.group_of.get(device).copied()
    }

    /// The hop at which each device is reached from `start` with every pair of groups enforced, at most `hops`, over services
    /// that `over` admits, among devices that `falls` admits: a device that does not fall is not reached and passes nothing
    /// on. `start` is at hop 0.
    pub fn spread(
        &self,
        start: usize,
        hops: u32,
        over: impl Fn(&Service) -> bool,
        falls: impl Fn(usize) -> bool,
    ) -> Vec<Option<u32>> {
        self.walk(start, hops, &falls, |from, taken, next| {
            let begin = self.matrix.cells.partition_point(|cell| cell.from < from);
            let cells = self.matrix.cells.get(begin..).unwrap_or(&[]);
            for cell in cells.iter().take_while(|cell| cell.from == from) {
                if !taken(cell.to) && cell.services.iter().any(&over) {
                    next.push(cell.to);
                }
            }
        })
    }

    /// The same with the pairs of groups as they stand: what is only observed lets everything through.
    pub fn spread_now(
        &self,
        start: usize,
        hops: u32,
        over: impl Fn(&Service) -> bool,
        falls: impl Fn(usize) -> bool,
    ) -> Vec<Option<u32>> {
        self.walk(start, hops, &falls, |from, taken, next| {
            for to in &self.matrix.groups {
                if taken(to.id) {
                    continue;
                }
                let cell = self.matrix.cell(from, to.id);
                let mode = cell.map_or(self.matrix.default_mode, |c| c.mode);
                let open = match mode {
                    Mode::Observe => true,
                    Mode::Enforce => cell.is_some_and(|c| c.services.iter().any(&over)),
                };
                if open {
                    next.push(to.id);
                }
            }
        })
    }

    fn walk(
        &self,
        start: usize,
        hops: u32,
        falls: &impl Fn(usize) -> bool,
        reachable: impl Fn(GroupId, &dyn Fn(GroupId) -> bool, &mut Vec<GroupId>),
    ) -> Vec<Option<u32>> {
        let mut at: Vec<Option<u32>> = vec![None; self.group_of.len()];
        let Some(first) = at.get_mut(start) else {
            return at;
        };
        *first = Some(0);
        let mut frontier: Vec<GroupId> = self.group_of(start).into_iter().collect();
        let mut left_from: HashSet<GroupId> = HashSet::new();
        let mut taken: HashSet<GroupId> = HashSet::new();
        for hop in 1..=hops {
            let mut next = Vec::new();
            for from in frontier {
                if !left_from.insert(from) || taken.len() == self.matrix.groups.len() {
                    continue;
                }
                let mut reached = Vec::new();
                reachable(from, &|to| taken.contains(&to), &mut reached);
                for to in reached {
                    taken.insert(to);
                    let mut fell = false;
                    for &device in self.members.get(usize::from(to.0)).into_iter().flatten() {
                        if let Some(place) = at.get_mut(device)
                            && place.is_none()
                            && falls(device)
                        {
                            *place = Some(hop);
                            fell = true;
                        }
                    }
                    if fell {
                        next.push(to);
                    }
                }
            }
            frontier = next;
            if frontier.is_empty() {
                break;
            }
        }
        at
    }
}
