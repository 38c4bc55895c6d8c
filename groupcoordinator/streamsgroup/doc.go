// Package streamsgroup is the state machine of one streams group (KIP-1071; spec: streams-groups): its topology, its
// members, and which of them runs which task.
//
// It is pure: no lock, no clock, no I/O. A heartbeat decides from a copy of the group which records are to be written,
// and the caller installs the copy once they are appended; replay applies the same records. Topics are seen through an
// image that the caller gives.
package streamsgroup
