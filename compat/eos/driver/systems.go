package driver

import "slices"

// Binary is this project's broker, built, with a cleaner that has much to do; args are added to its command line.
// Faults are armed at each start, separated by commas; a death by one counts as a kill, and after the last kill none is
// armed. token is that of its lab, "" for none.
func Binary(path, dir, faults, token string, args ...string) System {
	return &binarySystem{path: path, dir: dir, faults: faults, token: token,
		args: append(slices.Clone(cleanerArgs), args...)}
}

// Commands is a broker run by shell commands, whose output ends in HOST:PORT:PID. Without a kill command
// the process gets SIGKILL; without one to restart, start is used. admin is the address of its lab, "" without one.
func Commands(start, restart, kill, admin string, own bool) System {
	if restart == "" {
		restart = start
	}
	return &commandSystem{start: start, restart: restart, kill: kill, admin: admin, own: own}
}

// External is a broker at address that is never killed. admin is the address of its lab, "" without one.
func External(address, admin string, own bool) System {
	return &externalSystem{address: address, admin: admin, own: own}
}
