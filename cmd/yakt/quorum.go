package main

// quorumCmd is what an operator does with the quorum of controllers; each command has its own file.
type quorumCmd struct {
	Recover recoverCmd `cmd:"" help:"Make one stopped node all of the quorum, when the majority is lost for good."`
}
