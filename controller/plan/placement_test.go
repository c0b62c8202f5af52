package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yakt/controller/image"
	"yakt/records"
)

// clusterOf returns an image with one broker for each rack named, "" for none; those in fenced are fenced.
func clusterOf(racks []string, fenced map[int32]bool) *image.Image {
	e := new(image.Image).Edit()
	for i, rack := range racks {
		b := &records.RegisterBroker{BrokerID: int32(i), BrokerEpoch: int64(i), Fenced: fenced[int32(i)]}
		if rack != "" {
			b.Rack = &rack
		}
		e.Replay(b, int64(i))
	}
	return e.Image()
}

func draw(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

// spread returns how far apart the largest and the smallest count are.
func spread(counts []int) int { return slices.Max(counts) - slices.Min(counts) }

// checkPlacement checks what holds for every placement, with the slowest and most obvious means, and returns how often
// each broker leads and has a replica.
func checkPlacement(t *rapid.T, racks []string, fenced map[int32]bool, placed [][]int32, factor int) (leaders, replicas []int) {
	leaders, replicas = make([]int, len(racks)), make([]int, len(racks))
	perRack := map[string]int{}
	for _, rack := range racks {
		perRack[rack]++
	}
	for n, p := range placed {
		if len(p) != factor {
			t.Fatalf("partition %d has replicas %v, want %d of them", n, p, factor)
		}
		if fenced[p[0]] {
			t.Fatalf("partition %d is led by the fenced broker %d", n, p[0])
		}
		leaders[p[0]]++
		used := map[string]int{}
		for i, id := range p {
			if slices.Contains(p[:i], id) {
				t.Fatalf("partition %d has replicas %v: one of them twice", n, p)
			}
			replicas[id]++
			used[racks[id]]++
		}
		// No rack has two replicas more than one that could take another.
		for rack, has := range used {
			for other, size := range perRack {
				if used[other] < size && has > used[other]+1 {
					t.Fatalf("partition %d has replicas %v: rack %q has %d of them, %q only %d", n, p, rack, has, other, used[other])
				}
			}
		}
		// No fenced broker takes the place of an unfenced one of its own rack.
		for _, id := range p {
			for other := range racks {
				if fenced[id] && !fenced[int32(other)] && racks[other] == racks[id] && !slices.Contains(p, int32(other)) {
					t.Fatalf("partition %d has replicas %v: %d is fenced, %d is not", n, p, id, other)
				}
			}
		}
	}
	return leaders, replicas
}

func placedOn(t *rapid.T, i *image.Image, rand *rand.Rand, partitions, factor int) [][]int32 {
	placed, r := (&View{Image: i, Rand: rand}).place(partitions, factor)
	if r != nil {
		t.Fatal(r)
	}
	return placed
}

func TestPlacementWithoutRacksIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "brokers")
		factor := rapid.IntRange(1, n).Draw(t, "factor")
		racks := make([]string, n)
		placed := placedOn(t, clusterOf(racks, nil), draw(t), rapid.IntRange(1, 40).Draw(t, "partitions"), factor)
		leaders, replicas := checkPlacement(t, racks, nil, placed, factor)
		if spread(leaders) > 1 || spread(replicas) > 1 {
			t.Fatalf("leaders %v, replicas %v in %v", leaders, replicas, placed)
		}
	})
}

func TestPlacementOverEqualRacksIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 6).Draw(t, "racks"), rapid.IntRange(1, 5).Draw(t, "size")
		factor := rapid.IntRange(1, n*size).Draw(t, "factor")
		var racks []string
		for i := range n * size {
			racks = append(racks, fmt.Sprint("r", i%n))
		}
		placed := placedOn(t, clusterOf(racks, nil), draw(t), rapid.IntRange(1, 40).Draw(t, "partitions"), factor)
		leaders, replicas := checkPlacement(t, racks, nil, placed, factor)
		if spread(leaders) > 1 || spread(replicas) > 1 {
			t.Fatalf("leaders %v, replicas %v in %v", leaders, replicas, placed)
		}
	})
}

func TestPlacementOverAnyRacksSpreadsAndAvoidsFenced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		racks := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c"}), 1, 12).Draw(t, "racks")
		fenced := map[int32]bool{}
		for _, id := range rapid.SliceOfN(rapid.Int32Range(0, 11), 0, 8).Draw(t, "fenced") {
			fenced[id] = true
		}
		delete(fenced, 0)
		factor := rapid.IntRange(1, len(racks)).Draw(t, "factor")
		placed := placedOn(t, clusterOf(racks, fenced), draw(t), rapid.IntRange(1, 40).Draw(t, "partitions"), factor)
		leaders, _ := checkPlacement(t, racks, fenced, placed, factor)
		var unfenced []int
		for id, n := range leaders {
			if !fenced[int32(id)] {
				unfenced = append(unfenced, n)
			}
		}
		if spread(unfenced) > 1 {
			t.Fatalf("leaders %v", leaders)
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	for _, n := range []int{6, 100} {
		var racks []string
		for i := range n {
			racks = append(racks, fmt.Sprint(i%3))
		}
		v := &View{Image: clusterOf(racks, nil), Rand: rand.New(rand.NewPCG(1, 2))}
		b.Run(fmt.Sprintf("brokers=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, r := v.place(1000, 3); r != nil {
					b.Fatal(r)
				}
			}
		})
	}
}
