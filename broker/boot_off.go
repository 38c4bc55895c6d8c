//go:build !fault

package broker

func pretendedBootID() string { return "" }
