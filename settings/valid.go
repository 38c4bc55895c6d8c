package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// What single settings allow where a range or a set of words is not enough.
var (
	nonEmpty  = valid{nonEmpty: true}
	codecs    = valid{oneOf: []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"}}
	policies  = valid{oneOf: []string{"compact", "delete"}}
	timeTypes = valid{oneOf: []string{"CreateTime", "LogAppendTime"}}
	protocols = valid{oneOf: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}}
	gzipLevel = valid{check: checkGzipLevel}
	throttled = valid{check: checkThrottledReplicas, duplicates: true, emptyEntries: true}
	addresses = valid{nonEmpty: true, skipEmpty: true, check: checkListeners}
	oneDir    = valid{nonEmpty: true, check: checkOneDirectory}
)

func checkGzipLevel(value string) error {
	if n, err := strconv.Atoi(value); err != nil || n != -1 && (n < 1 || n > 9) {
		return errors.New("must be between 1 and 9, or -1")
	}
	return nil
}

// checkThrottledReplicas accepts "*", or partition:broker pairs and entries without text.
func checkThrottledReplicas(value string) error {
	if value == "*" {
		return nil
	}
	for _, entry := range splitList(value) {
		if entry == "" {
			continue
		}
		partition, broker, ok := strings.Cut(entry, ":")
		if _, err := strconv.ParseUint(partition, 10, 31); err != nil || !ok {
			return errors.New("must be * or partition:broker pairs")
		}
		if _, err := strconv.ParseUint(broker, 10, 31); err != nil {
			return errors.New("must be * or partition:broker pairs")
		}
	}
	return nil
}

// refusePlugIn refuses every class: Java's cannot be loaded.
func refusePlugIn(value string) error {
	return errors.New("must not be set: there are no plug-ins")
}

// checkDeadLetterTopic refuses names of internal topics. Whether the name is legal is not checked, as in Kafka.
func checkDeadLetterTopic(value string) error {
	if strings.HasPrefix(value, "__") {
		return errors.New("must not be an internal topic")
	}
	return nil
}

// checkOneDirectory refuses several data directories: we would use one and leave the others empty.
func checkOneDirectory(value string) error {
	if strings.Contains(value, ",") {
		return errors.New("must be one directory")
	}
	return nil
}

func checkListeners(value string) error {
	_, err := parseListeners(value)
	return err
}

func checkProtocolMap(value string) error {
	for _, entry := range splitList(value) {
		if entry == "" { // behind a comma at the end
			continue
		}
		name, protocol, ok := strings.Cut(entry, ":")
		if !ok || strings.TrimSpace(name) == "" || protocols.entry(strings.ToUpper(strings.TrimSpace(protocol))) != nil {
			return fmt.Errorf("must be LISTENER:PROTOCOL pairs with a protocol of %s, which %q is not",
				strings.Join(protocols.oneOf, ", "), entry)
		}
	}
	return nil
}

// checkIPOverrides accepts host:number pairs.
func checkIPOverrides(value string) error {
	for _, entry := range splitList(value) {
		host, number, _ := cutLast(entry, ":")
		if n, err := strconv.ParseInt(number, 10, 32); err != nil || n < 0 || host == "" {
			return errors.New("must be host:number pairs")
		}
	}
	return nil
}

// ipOverrides returns nil for nothing. Hosts that are no addresses have no effect, except for localhost: the broker
// asks no name server.
func (b *Broker) ipOverrides() (most map[netip.Addr]int) {
	for _, entry := range splitList(b.text("max.connections.per.ip.overrides")) {
		host, number, _ := cutLast(entry, ":")
		if host == "localhost" {
			host = "127.0.0.1"
		}
		address, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil {
			continue
		}
		if most == nil {
			most = map[netip.Addr]int{}
		}
		most[address.Unmap()], _ = strconv.Atoi(number)
	}
	return most
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// checkOffsetReset accepts what a share group may start at (KIP-932).
func checkOffsetReset(value string) error {
	if value == "latest" || value == "earliest" {
		return nil
	}
	duration, ok := strings.CutPrefix(value, "by_duration:")
	if ok && isISODuration(duration) {
		return nil
	}
	return errors.New("must be latest, earliest or by_duration:PnDTnHnMn.nS")
}

func isISODuration(text string) bool {
	ok, err := regexp.MatchString(`^P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$`, text)
	return err == nil && ok && text != "P" && !strings.HasSuffix(text, "T")
}
