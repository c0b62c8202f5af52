package image

import (
	"iter"

	"yakt/records"
)

// Controller is a controller that has registered itself (KIP-919). It is never changed, only replaced.
// A controller that is gone stays: there is no record that removes it.
type Controller struct {
	ID               int32
	IncarnationID    records.UUID
	ZkMigrationReady bool
	EndPoints        []records.Endpoint
	Features         []records.FeatureRange
}

// Feature returns the range of levels that the controller supports; a feature it does not name is 0 to 0.
func (c *Controller) Feature(name string) (minimum, maximum int16) {
	return featureRange(c.Features, name)
}

// Controller returns the registered controller with this id.
func (i *Image) Controller(id int32) (*Controller, bool) { return i.controllers.get(id) }

// Controllers iterates over the registered controllers by id.
func (i *Image) Controllers() iter.Seq[*Controller] { return i.controllers.values() }

func (e *Edit) replayRegisterController(o *owner, r *records.RegisterController) {
	e.head.controllers.set(o, r.ControllerID, &Controller{
		ID:               r.ControllerID,
		IncarnationID:    r.IncarnationID,
		ZkMigrationReady: r.ZkMigrationReady,
		EndPoints:        endPoints(r.EndPoints),
		Features:         featureRanges(r.Features),
	})
}

func (c *Controller) record() *records.RegisterController {
	return &records.RegisterController{
		ControllerID:     c.ID,
		IncarnationID:    c.IncarnationID,
		ZkMigrationReady: c.ZkMigrationReady,
		EndPoints:        c.EndPoints,
		Features:         c.Features,
	}
}
