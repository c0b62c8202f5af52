package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/controller/image"
	"yakt/records"
)

// RegisterController (v0, KIP-919) makes a controller process known: where it is reached and what it supports. The same
// process may register again. There is no record that takes a registration back, so one is refused that comes from no
// member of the quorum, or that a record could not hold; Apache Kafka 4.3.0 keeps both for good.
func RegisterController(v *View, req *kmsg.ControllerRegistrationRequest) Result {
	resp := req.ResponseKind().(*kmsg.ControllerRegistrationResponse)
	if err := v.checkController(req); err != nil {
		resp.ErrorCode, resp.ErrorMessage = err.Err.Code, &err.Message
		return Result{Response: resp, Refusal: err}
	}
	return Result{Response: resp, Records: []records.Record{controllerRecord(req)}}
}

// ControllerRegistered says whether the image has exactly this registration of a controller.
func ControllerRegistered(im *image.Image, req *kmsg.ControllerRegistrationRequest) bool {
	c, ok := im.Controller(req.ControllerID)
	if !ok || c.IncarnationID != records.UUID(req.IncarnationID) {
		return false
	}
	r := controllerRecord(req)
	slices.SortFunc(r.EndPoints, func(a, b records.Endpoint) int { return strings.Compare(a.Name, b.Name) }) // as an image has them
	return slices.EqualFunc(c.EndPoints, r.EndPoints, sameEndpoint)
}

// registerSelf returns the registration of the active controller itself if the image, at this metadata.version, lacks it.
func (v *View) registerSelf(im *image.Image, level records.MetadataVersion) []records.Record {
	self := v.Settings.Self
	if self == nil || !level.HasControllerRegistration() || ControllerRegistered(im, self) {
		return nil
	}
	return []records.Record{controllerRecord(self)}
}

func controllerRecord(req *kmsg.ControllerRegistrationRequest) *records.RegisterController {
	r := &records.RegisterController{ControllerID: req.ControllerID, IncarnationID: req.IncarnationID}
	for _, l := range req.Listeners {
		r.EndPoints = append(r.EndPoints, records.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	for _, f := range req.Features {
		r.Features = append(r.Features, records.FeatureRange{Name: f.Name, Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion})
	}
	return r
}

// checkController refuses what cannot be registered.
func (v *View) checkController(req *kmsg.ControllerRegistrationRequest) *Refusal {
	id := req.ControllerID
	switch {
	case !v.level().HasControllerRegistration():
		return refuse(kerr.UnsupportedVersion, "At %v controllers do not register; raise %s to 3.7 first.", v.level(), records.FeatureMetadataVersion)
	case v.Settings.ControllerIDs == nil || !v.Settings.ControllerIDs(id):
		return refuse(kerr.UnknownControllerID, "Controller %d is no member of this quorum; have it join first.", id)
	}
	r := controllerRecord(req)
	name := fmt.Sprintf("controller %d", id)
	if err := checkListeners(name, r.EndPoints); err != nil {
		return err
	}
	size := endpointBytes(r.EndPoints)
	named := make(map[string]bool, len(r.Features))
	for _, f := range r.Features {
		switch {
		case named[f.Name] || !storable(f.Name):
			return refuse(kerr.InvalidRegistration, "Controller %d names a feature twice, or one whose name cannot be kept.", id)
		case f.Min < 0 || f.Max < f.Min:
			return refuse(kerr.InvalidRegistration, "Controller %d supports levels %d to %d of %s, which is no range.", id, f.Min, f.Max, f.Name)
		}
		named[f.Name] = true
		size += len(f.Name) + 16
	}
	if size > maxRegistrationBytes {
		return refuse(kerr.InvalidRegistration, "The registration of controller %d has more than %d bytes; give it fewer listeners.", id, maxRegistrationBytes)
	}
	return nil
}
