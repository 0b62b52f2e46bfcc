//go:build linux

// What processes cost, from /proc: processor time and resident memory of a process and all its descendants.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go supports.
const tick = 10 * time.Millisecond

// descendants returns pid and the processes below it. A process that ends meanwhile is left out.
func descendants(pid int) ([]int, error) {
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", list[i]))
		if err != nil {
			return nil, fmt.Errorf("look for children: %w", err)
		}
		for _, path := range tasks {
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look for children: %w", err)
			}
			for child := range strings.FieldsSeq(string(text)) {
				n, err := strconv.Atoi(child)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				list = append(list, n)
			}
		}
	}
	return list, nil
}

// cpuTime is the user and system time that pid and its descendants have used.
func cpuTime(pid int) (time.Duration, error) {
	pids, err := descendants(pid)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, p := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return 0, fmt.Errorf("processor time: %w", err)
		}
		t, err := parseStat(text)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", p, err)
		}
		sum += t
	}
	return sum, nil
}

// machineTime is the time for which all processors together were busy since the system started.
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return parseMachine(string(text))
}

// parseMachine reads the first line of proc(5)'s stat: user, nice, system, idle, iowait, irq and softirq, of which idle and iowait do not count.
func parseMachine(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat is not in the expected format")
	}
	sum := 0
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// parseStat adds utime and stime, the 14th and 15th field of proc(5)'s stat. The second field is the command's name in
// parentheses, which may hold blanks and parentheses itself.
func parseStat(text []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 13 {
		return 0, errors.New("not the expected format")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, fmt.Errorf("utime: %w", err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0, fmt.Errorf("stime: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// residentMiB is the resident memory of pid and its descendants.
func residentMiB(pid int) (float64, error) {
	pids, err := descendants(pid)
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, p := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			return 0, fmt.Errorf("memory: %w", err)
		}
		_, after, _ := strings.Cut(string(text), "VmRSS:")
		fields := strings.Fields(after)
		if len(fields) == 0 {
			continue // a process that is ending has none
		}
		kib, err := strconv.Atoi(fields[0])
		if err != nil {
			return 0, fmt.Errorf("memory: %w", err)
		}
		sum += kib
	}
	return float64(sum) / 1024, nil
}
