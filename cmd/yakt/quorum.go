package main

// quorumCmd is what an operator does with the quorum of controllers. Each command has its own file; quorumclient.go is how
// they reach a node, quorumchange.go how those that change the quorum see to it that it is done.
type quorumCmd struct {
	Status   quorumStatusCmd   `cmd:"" help:"Who leads, who votes, how far everybody is, and who may be stopped."`
	Add      quorumAddCmd      `cmd:"" help:"Let a running node into the quorum: one that was removed, or started with -e and --wait."`
	Remove   quorumRemoveCmd   `cmd:"" help:"Take a node out of the quorum. It runs on and can be added again."`
	Transfer quorumTransferCmd `cmd:"" help:"Hand leadership over."`
	Recover  recoverCmd        `cmd:"" help:"Make one stopped node all of the quorum, when the majority is lost for good."`
}
