// Command interop reads a log directory with the Go team's sumdb packages and nothing of ours.
//
// It accepts the checkpoint's signature under the verifier key, authenticates tiles against the
// signed root, recomputes each leaf hash from the entry bundles, and checks inclusion and
// consistency proofs. Usage: interop DIRECTORY VKEY STEP; STEP is the distance between the leaves
// and sizes that are proved one by one (all leaves are hashed and compared in any case).
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8
const width = 1 << height

// store reads C2SP tiles as files; sumdb writes the height into its paths and C2SP does not.
type store struct{ directory string }

func (s store) Height() int                    { return height }
func (s store) SaveTiles([]tlog.Tile, [][]byte) {}

func (s store) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := s.read(tile)
		if errors.Is(err, os.ErrNotExist) && tile.W < width {
			full := tile
			full.W = width
			data, err = s.read(full)
			if err == nil {
				data = data[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

func (s store) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return os.ReadFile(filepath.Join(s.directory, filepath.FromSlash(path)))
}

// entries returns the entries of bundle n of a log with that many leaves.
func (s store) entries(n, size int64) ([][]byte, error) {
	w := size - n*width
	if w > width {
		w = width
	}
	tile := tlog.Tile{H: height, L: 0, N: n, W: int(w)}
	path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
	data, err := os.ReadFile(filepath.Join(s.directory, filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, fmt.Errorf("%s ends within a length", path)
		}
		length := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+length {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		out = append(out, data[2:2+length])
		data = data[2+length:]
	}
	if int64(len(out)) != w {
		return nil, fmt.Errorf("%s has %d entries, not %d", path, len(out), w)
	}
	return out, nil
}

func checkpoint(directory, vkey string) (tlog.Tree, error) {
	var tree tlog.Tree
	data, err := os.ReadFile(filepath.Join(directory, "checkpoint"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, errors.New("the checkpoint is not of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(tree.Hash[:], root) != tlog.HashSize {
		return tree, errors.New("the root is not a hash")
	}
	return tree, nil
}

func verify(directory, vkey string, step int64) error {
	tree, err := checkpoint(directory, vkey)
	if err != nil {
		return err
	}
	files := store{directory}
	hashes := tlog.TileHashReader(tree, files)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the tiles do not give the root: %v", err)
	}
	included, consistent := 0, 0
	for n := int64(0); n*width < tree.N; n++ {
		entries, err := files.entries(n, tree.N)
		if err != nil {
			return err
		}
		indexes := make([]int64, len(entries))
		for i := range entries {
			indexes[i] = tlog.StoredHashIndex(0, n*width+int64(i))
		}
		stored, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := n*width + int64(i)
			if tlog.RecordHash(entry) != stored[i] {
				return fmt.Errorf("entry %d does not have its hash", index)
			}
			if index%step != 0 && index != tree.N-1 {
				continue
			}
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, stored[i]); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			included++
		}
	}
	for size := int64(1); size <= tree.N; size += step {
		older, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, older); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		consistent++
	}
	fmt.Printf("%d entries, %d inclusions, %d consistencies\n", tree.N, included, consistent)
	return nil
}

func main() {
	step, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err == nil {
		err = verify(os.Args[1], os.Args[2], step)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
